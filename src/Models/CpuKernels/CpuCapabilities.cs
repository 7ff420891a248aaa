using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Ndif.Models.CpuKernels;

/// <summary>The instruction set that the CPU kernels use on this machine.</summary>
public static class CpuCapabilities
{
    /// <summary>
    /// The highest instruction set that the kernels may use. Default: the value of the environment variable <c>NDIF_CPU_CAPABILITY</c>
    /// (<c>default</c>, <c>avx2</c>, <c>avx512</c> or <c>avx512_bf16</c>), or no limit.
    /// </summary>
    public static CpuCapability Max { get; set; } = Parse(Environment.GetEnvironmentVariable("NDIF_CPU_CAPABILITY"));

    /// <summary>
    /// The instruction set that the kernels use: the highest that the processor and libtorch support, up to <see cref="Max"/>.
    /// </summary>
    public static CpuCapability Current =>
        BFloat16Gemm.IsAvailable ? CpuCapability.Avx512BFloat16 : Allows(CpuCapability.Avx512) ? CpuCapability.Avx512
        : Allows(CpuCapability.Avx2) ? CpuCapability.Avx2 : CpuCapability.Default;

    /// <summary>
    /// Whether <see cref="Max"/> permits an instruction set and the processor has it. Whether AVX512_BF16 itself works is checked by
    /// <see cref="BFloat16Gemm"/>.
    /// </summary>
    internal static bool Allows(CpuCapability capability) => Max >= capability && capability switch
    {
        CpuCapability.Default => true,
        CpuCapability.Avx2 => Avx2.IsSupported && Fma.IsSupported,
        _ => Avx512BW.IsSupported && Vector512.IsHardwareAccelerated,
    };

    /// <summary>Parses the value of <c>NDIF_CPU_CAPABILITY</c>.</summary>
    /// <exception cref="ArgumentException">The variable has another value.</exception>
    internal static CpuCapability Parse(string? value) => value?.ToLowerInvariant() switch
    {
        null or "" => CpuCapability.Avx512BFloat16,
        "default" => CpuCapability.Default,
        "avx2" => CpuCapability.Avx2,
        "avx512" => CpuCapability.Avx512,
        "avx512_bf16" => CpuCapability.Avx512BFloat16,
        var other => throw new ArgumentException($"NDIF_CPU_CAPABILITY is '{other}'; it must be default, avx2, avx512 or avx512_bf16."),
    };
}
