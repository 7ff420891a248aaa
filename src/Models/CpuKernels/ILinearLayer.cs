namespace Ndif.Models.CpuKernels;

/// <summary>A linear layer whose weight the kernels can read.</summary>
internal interface ILinearLayer
{
    /// <summary>
    /// The weight and bias, or null if they are on another device, of an unsupported element type, or quantized to eight bits.
    /// </summary>
    WeightView? View { get; }
}
