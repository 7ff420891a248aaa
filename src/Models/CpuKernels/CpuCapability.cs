namespace Ndif.Models.CpuKernels;

/// <summary>The instruction sets that the CPU kernels of this project distinguish, in ascending order.</summary>
/// <remarks>The counterpart of PyTorch's <c>ATEN_CPU_CAPABILITY</c> and oneDNN's <c>ONEDNN_MAX_CPU_ISA</c>.</remarks>
public enum CpuCapability
{
    /// <summary>The kernels are not used: libtorch computes everything.</summary>
    Default,

    /// <summary>AVX-512F: linear layers, attention and MLPs in float32, and in bfloat16 for up to 32 rows.</summary>
    Avx512,

    /// <summary>AVX512_BF16 (<see cref="BFloat16Gemm"/>): in addition any number of rows in bfloat16.</summary>
    Avx512BFloat16,
}
