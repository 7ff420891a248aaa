namespace Ndif.Models.CpuKernels;

/// <summary>The instruction sets that the CPU kernels of this project distinguish, in ascending order.</summary>
/// <remarks>The counterpart of PyTorch's <c>ATEN_CPU_CAPABILITY</c> and oneDNN's <c>ONEDNN_MAX_CPU_ISA</c>.</remarks>
public enum CpuCapability
{
    /// <summary>The kernels are not used: libtorch computes everything.</summary>
    Default,

    /// <summary>AVX2 with FMA: linear layers, norms, attention and MLPs in float32 and bfloat16.</summary>
    Avx2,

    /// <summary>AVX-512F and AVX512BW: the same with vectors of 512 bits.</summary>
    Avx512,

    /// <summary>AVX512_BF16 (<see cref="BFloat16Gemm"/>): in addition the processor's bfloat16 products for nine or more rows.</summary>
    Avx512BFloat16,
}
