using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Helium.</summary>
/// <remarks>transformers/models/helium/configuration_helium.py</remarks>
public sealed record HeliumConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 48000, MaxPositions = 4096, HiddenSize = 2560, IntermediateSize = 7040, NumLayers = 24, NumHeads = 20, HeadDim = 128,
    NormEps = 1e-8, RopeTheta = 100000, PadTokenId = 3,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    public bool MlpBias => Json.Flag("mlp_bias", false);
}

/// <summary>Helium: a Llama that rotates pairs of adjacent dimensions.</summary>
/// <remarks>transformers/models/helium/modeling_helium.py; Kyutai, 2025</remarks>
[Architecture("HeliumForCausalLM", ModelType = "helium")]
public sealed class HeliumForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new HeliumConfig(json)))
{
    private static DecoderDescription Describe(HeliumConfig config) => new(config, "Helium")
    {
        QkvBias = config.AttentionBias, MlpBias = config.MlpBias, RotaryPairs = RotaryPairs.Adjacent, Norm = NormKind.RmsRoundedOnce,
    };
}
