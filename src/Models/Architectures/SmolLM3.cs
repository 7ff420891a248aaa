using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a SmolLM 3.</summary>
/// <remarks>transformers/models/smollm3/configuration_smollm3.py</remarks>
public sealed record SmolLM3Config(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 128256, MaxPositions = 32768, HiddenSize = 2048, IntermediateSize = 11008, NumLayers = 36, NumHeads = 16, NumKvHeads = 4,
    RopeTheta = 2_000_000, TieWordEmbeddings = true, PadTokenId = 128004,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    public bool MlpBias => Json.Flag("mlp_bias", false);

    /// <summary>Whether positions rotate the queries and keys of a layer: all but each fourth, if the file does not say.</summary>
    public bool HasRotaryPositions(int layer) => Json.Has("no_rope_layers") ? Json.Ids("no_rope_layers").ElementAtOrDefault(layer) != 0
        : (layer + 1) % Json.Size("no_rope_layer_interval", 4) != 0;
}

/// <summary>SmolLM 3: a Llama in which each fourth layer has no positions.</summary>
/// <remarks>transformers/models/smollm3/modeling_smollm3.py; Yang et al., RoPE to NoPE and Back Again, 2025</remarks>
[Architecture("SmolLM3ForCausalLM", ModelType = "smollm3")]
public sealed class SmolLM3ForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new SmolLM3Config(json)))
{
    private static DecoderDescription Describe(SmolLM3Config config) => new(config, "SmolLM3")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, MlpBias = config.MlpBias, PassesPositionIdsByPosition = true,
        HasRotaryPositions = config.HasRotaryPositions,
        Windows = SlidingWindows.Read(config.Json, (_, layer) => config.HasRotaryPositions(layer)),
    };
}
