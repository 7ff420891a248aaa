namespace Ndif.Models.CpuKernels;

/// <summary>The norms of the supported architectures. In bfloat16 they differ in where they round.</summary>
internal enum NormKind
{
    /// <summary>RMSNorm as in Llama: the normalized row is rounded, then multiplied by the weight.</summary>
    Rms,

    /// <summary>RMSNorm as in OLMo 2: multiplied by the weight, then rounded.</summary>
    RmsRoundedOnce,

    /// <summary>RMSNorm as in Gemma: multiplied by 1 + weight, then rounded.</summary>
    RmsUnitOffset,

    /// <summary>LayerNorm, which subtracts the mean; rounded once.</summary>
    Layer,

    /// <summary>LayerNorm as in Nemotron: multiplied by 1 + weight, which is rounded; rounded once more at the end.</summary>
    LayerUnitOffset,
}
