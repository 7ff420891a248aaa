using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Nemotron.</summary>
/// <remarks>transformers/models/nemotron/configuration_nemotron.py</remarks>
public sealed record NemotronConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 256000, MaxPositions = 4096, HiddenSize = 6144, IntermediateSize = 24576, NumLayers = 32, NumHeads = 48,
    NormEpsKey = "norm_eps", NormEps = 1e-5, PartialRotaryFactor = 0.5,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    public bool MlpBias => Json.Flag("mlp_bias", false);
}

/// <summary>Nemotron: layer norms whose weight is an offset from 1, relu squared, and positions that rotate half of each head.</summary>
/// <remarks>transformers/models/nemotron/modeling_nemotron.py; Parmar et al., Nemotron-4, 2024</remarks>
[Architecture("NemotronForCausalLM", ModelType = "nemotron")]
public sealed class NemotronForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new NemotronConfig(json)))
{
    private static DecoderDescription Describe(NemotronConfig config) => new(config, "Nemotron")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, IsPartialRotary = true, HasUnusedRotaryEmbedding = true,
        Activation = ("hidden_act", "relu2"),
        CreateNormOfFamily = (size, axes) => new LayerNorm(
            size, config.NormEps, axes: axes, className: "NemotronLayerNorm1P", isUnitOffset: true),
        CreateMlp = (description, _) => new Mlp("NemotronMLP",
            ("up_proj", new Linear(config.HiddenSize, config.IntermediateSize, config.MlpBias)),
            ("down_proj", new Linear(config.IntermediateSize, config.HiddenSize, config.MlpBias)),
            ("act_fn", description.CreateActivation())),
    };
}
