using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>A norm layer whose parameters the kernels can read.</summary>
internal interface INormLayer
{
    /// <summary>The kernel for inputs of an element type, or null if there is none (<see cref="NormKernel.TryCreate"/>).</summary>
    NormKernel? GetKernel(ScalarType dtype);
}
