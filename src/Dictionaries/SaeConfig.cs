namespace Ndif.Dictionaries;

/// <summary>How pre-activations become the activations of features.</summary>
public enum SaeActivation
{
    /// <summary>max(x, 0) (Bricken et al., 2023).</summary>
    Relu,
    /// <summary>The k largest of a token (Gao et al., 2024).</summary>
    TopK,
    /// <summary>x where it is above the threshold of its feature, else 0 (Rajamanoharan et al., 2024).</summary>
    JumpRelu,
    /// <summary>A gate that decides which features are active, and a magnitude (Rajamanoharan et al., 2024).</summary>
    Gated,
}

/// <summary>How the input is normalized before it is encoded; the inverse is applied to what is decoded.</summary>
/// <remarks>normalize_activations in SAELens; sae_lens/saes/sae.py</remarks>
public enum SaeNormalization
{
    /// <summary>It is not.</summary>
    None,
    /// <summary>By one factor for all inputs, <see cref="SaeConfig.NormScalingFactor"/>.</summary>
    ExpectedAverageOnlyIn,
    /// <summary>Mean 0 and standard deviation 1 of each token.</summary>
    LayerNorm,
    /// <summary>The norm of each token becomes the square root of its size.</summary>
    ConstantNormRescale,
}

/// <summary>What a sparse autoencoder or a transcoder computes, and where: cfg.json of SAELens, or config.yaml of circuit-tracer.</summary>
public sealed record SaeConfig
{
    /// <summary>The size of the input, d_in.</summary>
    public required int InputSize { get; init; }

    /// <summary>The number of features, d_sae.</summary>
    public required int Features { get; init; }

    /// <summary>The size of the output, d_out; of an autoencoder that of its input.</summary>
    public required int OutputSize { get; init; }

    /// <summary>A transcoder predicts the output of a site from another one, and an autoencoder its own input.</summary>
    public bool IsTranscoder { get; init; }

    /// <summary>A transcoder with a linear map from input to output beside its features (Paulo et al., 2025; arXiv 2501.18823).</summary>
    public bool HasSkip { get; init; }

    /// <summary>The activation. Default: ReLU.</summary>
    public SaeActivation Activation { get; init; }

    /// <summary>The number of active features of a token, for <see cref="SaeActivation.TopK"/>.</summary>
    public int K { get; init; }

    /// <summary>Negative activations become 0, as in SAELens. In circuit-tracer a feature among the k largest keeps its sign.</summary>
    public bool IsRectified { get; init; } = true;

    /// <summary>Pre-activations are multiplied by the norms of the decoder's rows, and activations divided by them.</summary>
    public bool RescalesByDecoderNorm { get; init; }

    /// <summary>The bias of the decoder is subtracted from the input. Never for a transcoder.</summary>
    public bool AppliesDecoderBiasToInput { get; init; }

    /// <summary>How the input is normalized. Default: not at all.</summary>
    public SaeNormalization Normalization { get; init; }

    /// <summary>The factor of <see cref="SaeNormalization.ExpectedAverageOnlyIn"/>; null if the folder does not state it.</summary>
    public double? NormScalingFactor { get; init; }

    /// <summary>The element type in which it is computed. Default: float32.</summary>
    public DType Dtype { get; init; } = DType.Float32;

    /// <summary>Where it reads, as TransformerLens names it: "blocks.2.hook_resid_post". Empty: not stated.</summary>
    public string HookName { get; init; } = "";

    /// <summary>Where the output of a transcoder belongs: "blocks.2.hook_mlp_out". Empty: not stated, or an autoencoder.</summary>
    public string HookNameOut { get; init; } = "";

    /// <summary>The name of the model on which it was trained; empty if it is not stated.</summary>
    public string ModelName { get; init; } = "";
}
