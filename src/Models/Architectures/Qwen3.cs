using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of Qwen 3.</summary>
/// <remarks>transformers/models/qwen3/configuration_qwen3.py</remarks>
public sealed record Qwen3Config(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 151936, MaxPositions = 32768, HiddenSize = 4096, IntermediateSize = 22016, NumLayers = 32, NumHeads = 32, NumKvHeads = 32,
    HeadDim = 128,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);
}

/// <summary>Qwen 3: a Llama that normalizes the queries and keys of each head.</summary>
/// <remarks>transformers/models/qwen3/modeling_qwen3.py; Yang et al., 2025</remarks>
[Architecture("Qwen3ForCausalLM", ModelType = "qwen3")]
public sealed class Qwen3ForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new Qwen3Config(json)))
{
    private static DecoderDescription Describe(Qwen3Config config) => new(config, "Qwen3")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, QkNorms = QkNorms.EachHead, PassesPositionIdsByPosition = true,
        Windows = SlidingWindows.Read(config.Json, SlidingWindows.IsAfterMaxWindowLayers),
    };
}
