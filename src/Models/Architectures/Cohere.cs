using Ndif.Models.Config;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Command R.</summary>
/// <remarks>transformers/models/cohere/configuration_cohere.py</remarks>
public sealed record CohereConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 256000, MaxPositions = 8192, HiddenSize = 8192, IntermediateSize = 22528, NumLayers = 40, NumHeads = 64,
    NormEpsKey = "layer_norm_eps", NormEps = 1e-5, RopeTheta = 10000, TieWordEmbeddings = true, PadTokenId = 0,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    public double LogitScale => Json.Real("logit_scale", 0.0625);

    /// <summary>Whether queries and keys are normalized, with weights of each head's own.</summary>
    public bool UseQkNorm => Json.Flag("use_qk_norm", false);
}

/// <summary>Command R: attention and mlp in parallel after one layer norm without a bias, and a factor of the logits.</summary>
/// <remarks>transformers/models/cohere/modeling_cohere.py; Cohere, 2024</remarks>
[Architecture("CohereForCausalLM", ModelType = "cohere")]
public sealed class CohereForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new CohereConfig(json)))
{
    private static DecoderDescription Describe(CohereConfig config) => new(config, "Cohere")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, LayerNorms = LayerNorms.Shared,
        RotaryPairs = RotaryPairs.AdjacentRepeated, LogitMultiplier = config.LogitScale,
        QkNorms = config.UseQkNorm ? QkNorms.EachHeadAfterProjections : QkNorms.None,
        CreateQkNormOfHeads = (heads, axes) => new CohereLayerNorm(heads, config.HeadDim, config.NormEps, axes),
        CreateNormOfFamily = (size, axes) => new LayerNorm(
            size, config.NormEps, bias: false, axes: axes, className: "CohereLayerNorm", printsOptions: false),
    };
}

/// <summary>The norm of queries or keys, with weights for each head.</summary>
public sealed partial class CohereLayerNorm : TensorModule
{
    private readonly double _epsilon;
    private readonly Parameter _weight; // [heads, headDim]

    internal CohereLayerNorm(int heads, int headDim, double epsilon, Axes? axes)
    {
        (_epsilon, Axes) = (epsilon, axes ?? Axes.Hidden);
        _weight = Weight("weight", heads, headDim);
    }

    /// <param name="input">[batch, seq, heads, headDim]</param>
    /// <returns>[batch, seq, heads, headDim]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor precise = input.to(ScalarType.Float32);                                          // [batch, seq, heads, headDim]
        Tensor centered = precise - precise.mean([-1], keepdim: true);                          // [batch, seq, heads, headDim]
        Tensor variance = centered.square().mean([-1], keepdim: true);                          // [batch, seq, heads, 1]
        Tensor normal = centered * rsqrt(variance + _epsilon);                                  // [batch, seq, heads, headDim]
        return (_weight.Value.to(ScalarType.Float32) * normal).to(input.dtype).MoveToOuterDisposeScope();
    }
}
