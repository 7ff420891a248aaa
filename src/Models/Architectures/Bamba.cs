using Ndif.Models.Config;
using Ndif.Models.Layers.StateSpace;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Bamba.</summary>
/// <remarks>transformers/models/bamba/configuration_bamba.py</remarks>
public sealed record BambaConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 128000, MaxPositions = 262144, HiddenSize = 4096, IntermediateSize = 14336, NumLayers = 32, NumHeads = 32, NumKvHeads = 8,
    NormEps = 1e-5, PartialRotaryFactor = 0.5, PadTokenId = 0,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    public bool MlpBias => Json.Flag("mlp_bias", false);

    /// <summary>Whether a layer has attention; the others have a Mamba-2 mixer.</summary>
    public bool IsAttention(int layer) => Json.Ids("attn_layer_indices").Contains(layer);
}

/// <summary>Bamba: Mamba-2 layers, a few of which are replaced by attention.</summary>
/// <remarks>transformers/models/bamba/modeling_bamba.py; IBM, Princeton, CMU and UIUC, Bamba, 2024</remarks>
[Architecture("BambaForCausalLM", ModelType = "bamba")]
public sealed class BambaForCausalLM : DecoderForCausalLM
{
    public BambaForCausalLM(ConfigReader json) : this(new BambaConfig(json)) { }

    private BambaForCausalLM(BambaConfig config) : this(config, Describe(config)) { }

    private BambaForCausalLM(BambaConfig config, DecoderDescription description) :
        base(description, new HybridModel(description, layer => !config.IsAttention(layer))) { }

    public override bool HasStatesBesideKeys => true;

    private static DecoderDescription Describe(BambaConfig config) => new(config, "Bamba")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, MlpBias = config.MlpBias, IsPartialRotary = true,
        RotaryDim = config.HeadDim, FinalNormName = "final_layernorm", MlpName = "feed_forward",
        CreateLayer = (description, layer) => new HybridDecoderLayer(description, "BambaDecoderLayer",
            ("feed_forward", description.CreateMlp(description, layer)),
            ("input_layernorm", description.CreateNorm(config.HiddenSize)),
            ("pre_ff_layernorm", description.CreateNorm(config.HiddenSize)),
            config.IsAttention(layer) ? ("self_attn", description.CreateAttention(description, layer))
                : ("mamba", new Mamba2Mixer("BambaMixer", layer, new MixerCall(IsKeyword: true),
                    Mamba2Layers.Read(config.Json, config.HiddenSize, config.NormEps) with { NormClass = "BambaRMSNormGated" },
                    description.CreateActivation()))),
    };
}

/// <summary>The sizes of Mamba-2 layers under the keys of models that mix them with attention.</summary>
/// <remarks>transformers/models/bamba/configuration_bamba.py and its relatives</remarks>
internal static class Mamba2Layers
{
    public static Mamba2Config Read(ConfigReader json, int hiddenSize, double normEps)
    {
        int heads = json.Size("mamba_n_heads", 128);
        bool isComputed = json.TextOrNull("mamba_d_head") is "auto" || !json.Has("mamba_d_head");
        int headDim = isComputed ? json.Size("mamba_expand", 2) * hiddenSize / heads : json.Size("mamba_d_head");
        return new Mamba2Config(hiddenSize, heads, headDim, json.Size("mamba_d_state", 256), json.Size("mamba_n_groups", 1),
            json.Size("mamba_d_conv", 4), normEps)
        {
            ConvBias = json.Flag("mamba_conv_bias", true), ProjectionBias = json.Flag("mamba_proj_bias", false),
            TimeStepLimit = Mamba2Config.ReadTimeStepLimit(json),
        };
    }
}
