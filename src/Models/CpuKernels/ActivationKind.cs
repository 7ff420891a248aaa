namespace Ndif.Models.CpuKernels;

/// <summary>The activation functions that <see cref="FusedMlp"/> computes.</summary>
internal enum ActivationKind
{
    /// <summary>x Φ(x), exact.</summary>
    Gelu,

    /// <summary>The tanh approximation of GELU.</summary>
    GeluTanh,

    /// <summary>x · sigmoid(x)</summary>
    Silu,

    /// <summary>max(x, 0)</summary>
    Relu,
}
