namespace Ndif.Models.CpuKernels;

/// <summary>The kernels that compute a product with a weight.</summary>
internal enum ProductKernel
{
    /// <summary>The weight is read where it lies and widened in registers: <see cref="GemmNN"/> or <see cref="GemmNT"/>.</summary>
    Streamed,

    /// <summary>Input and weight are packed and widened to float32: <see cref="PackedGemm"/>. The sums are those of Streamed.</summary>
    Packed,

    /// <summary>The processor's bfloat16 products: <see cref="BFloat16Gemm"/>.</summary>
    BFloat16,

    /// <summary>libtorch.</summary>
    Libtorch,
}
