using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an ERNIE 4.5.</summary>
/// <remarks>transformers/models/ernie4_5/configuration_ernie4_5.py</remarks>
public record Ernie4_5Config : DecoderConfig
{
    public Ernie4_5Config(ConfigReader json) : this(json, new()
    {
        VocabSize = 103424, MaxPositions = 131072, HiddenSize = 1024, IntermediateSize = 3072, NumLayers = 18, NumHeads = 16,
        NumKvHeads = 2, HeadDim = 128, NormEps = 1e-5, RopeTheta = 500000, TieWordEmbeddings = true, PadTokenId = 0,
    }) { }

    private protected Ernie4_5Config(ConfigReader json, DecoderDefaults defaults) : base(json, defaults) { }

    /// <summary>Whether all linear layers have biases.</summary>
    public bool UseBias => Json.Flag("use_bias", false);

    internal DecoderDescription Describe(string family) => new(this, family)
    {
        QkvBias = UseBias, OutputBias = UseBias, MlpBias = UseBias, RotaryPairs = RotaryPairs.Adjacent, RotatesInFloat32 = true,
    };
}

/// <summary>ERNIE 4.5, the dense models: a Llama that rotates pairs of adjacent dimensions in float32.</summary>
/// <remarks>transformers/models/ernie4_5/modeling_ernie4_5.py; Baidu, ERNIE 4.5, 2025</remarks>
[Architecture("Ernie4_5ForCausalLM", ModelType = "ernie4_5")]
public sealed class Ernie4_5ForCausalLM(ConfigReader json) : DecoderForCausalLM(new Ernie4_5Config(json).Describe("Ernie4_5"));
