using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of Qwen 2.</summary>
/// <remarks>transformers/models/qwen2/configuration_qwen2.py</remarks>
public sealed record Qwen2Config(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 151936, MaxPositions = 32768, HiddenSize = 4096, IntermediateSize = 22016, NumLayers = 32, NumHeads = 32, NumKvHeads = 32,
});

/// <summary>Qwen 1.5, 2 and 2.5: a Llama with biases on queries, keys and values.</summary>
/// <remarks>transformers/models/qwen2/modeling_qwen2.py; Yang et al., 2024</remarks>
[Architecture("Qwen2ForCausalLM", ModelType = "qwen2")]
public sealed class Qwen2ForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new Qwen2Config(json)))
{
    private static DecoderDescription Describe(Qwen2Config config) => new(config, "Qwen2")
    {
        QkvBias = true, PassesPositionIdsByPosition = true,
        Windows = SlidingWindows.Read(config.Json, SlidingWindows.IsAfterMaxWindowLayers),
    };
}
