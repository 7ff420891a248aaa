using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Seed-OSS.</summary>
/// <remarks>transformers/models/seed_oss/configuration_seed_oss.py</remarks>
public sealed record SeedOssConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 155136, MaxPositions = 524288, HiddenSize = 4096, IntermediateSize = 27648, NumLayers = 64, NumHeads = 80, NumKvHeads = 8,
    HeadDim = 128, PadTokenId = 1,
})
{
    /// <summary>Whether the projections of queries, keys and values have biases.</summary>
    public bool AttentionBias => Json.Flag("attention_bias", true);

    public bool AttentionOutBias => Json.Flag("attention_out_bias", false);

    public bool MlpBias => Json.Flag("mlp_bias", false);
}

/// <summary>Seed-OSS: a Llama with biases of queries, keys and values.</summary>
/// <remarks>transformers/models/seed_oss/modeling_seed_oss.py; ByteDance Seed, 2025</remarks>
[Architecture("SeedOssForCausalLM", ModelType = "seed_oss")]
public sealed class SeedOssForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new SeedOssConfig(json)))
{
    private static DecoderDescription Describe(SeedOssConfig config) => new(config, "SeedOss")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionOutBias, MlpBias = config.MlpBias,
    };
}
