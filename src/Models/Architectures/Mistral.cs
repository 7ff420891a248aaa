using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Mistral.</summary>
/// <remarks>transformers/models/mistral/configuration_mistral.py</remarks>
public sealed record MistralConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 32000, MaxPositions = 131072, HiddenSize = 4096, IntermediateSize = 14336, NumLayers = 32, NumHeads = 32, NumKvHeads = 8,
})
{
    /// <summary>A token attends to itself and the SlidingWindow - 1 tokens before it; null for all tokens.</summary>
    public int? SlidingWindow => Json.IsNull("sliding_window") ? null : Json.Size("sliding_window", 4096);
}

/// <summary>Mistral 7B and its successors: a Llama with sliding-window attention.</summary>
/// <remarks>transformers/models/mistral/modeling_mistral.py; Jiang et al., 2023</remarks>
[Architecture("MistralForCausalLM", ModelType = "mistral")]
public sealed class MistralForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new MistralConfig(json)))
{
    internal static DecoderDescription Describe(MistralConfig config) => new(config, "Mistral") { Window = config.SlidingWindow };
}
