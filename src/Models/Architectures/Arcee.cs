using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an AFM.</summary>
/// <remarks>transformers/models/arcee/configuration_arcee.py</remarks>
public sealed record ArceeConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 32000, MaxPositions = 4096, HiddenSize = 2560, IntermediateSize = 18432, NumLayers = 32, NumHeads = 32, NormEps = 1e-5,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    public bool MlpBias => Json.Flag("mlp_bias", false);
}

/// <summary>AFM: a Llama with relu squared in place of the gate.</summary>
/// <remarks>transformers/models/arcee/modeling_arcee.py; Arcee AI, 2025</remarks>
[Architecture("ArceeForCausalLM", ModelType = "arcee")]
public sealed class ArceeForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new ArceeConfig(json)))
{
    private static DecoderDescription Describe(ArceeConfig config) => new(config, "Arcee")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, Activation = ("hidden_act", "relu2"),
        CreateMlp = (description, _) => new Mlp("ArceeMLP",
            ("up_proj", new Linear(config.HiddenSize, config.IntermediateSize, config.MlpBias)),
            ("down_proj", new Linear(config.IntermediateSize, config.HiddenSize, config.MlpBias)),
            ("act_fn", description.CreateActivation())),
    };
}
