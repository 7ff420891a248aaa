using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Gemma 4, text only, or the text_config of a multimodal one.</summary>
/// <remarks>Gemma4TextConfig in transformers/models/gemma4/configuration_gemma4.py</remarks>
public sealed record Gemma4TextConfig : DecoderConfig
{
    public Gemma4TextConfig(ConfigReader json) : base(json, new()
    {
        VocabSize = 262144, MaxPositions = 131072, HiddenSize = 2304, IntermediateSize = 9216, NumLayers = 30, NumHeads = 8, NumKvHeads = 4,
        HeadDim = 256, TieWordEmbeddings = true, PadTokenId = 0,
    })
    {
        if (json.Has("use_bidirectional_attention") && json.TextOrNull("use_bidirectional_attention") != "vision")
            throw json.InvalidValue("use_bidirectional_attention", "must be null or vision: tokens of a text see only those before them",
                $"{json.Raw("use_bidirectional_attention")}");
        bool hasParameters = json.Has("rope_parameters");
        LocalRopeParameters = hasParameters ? RopeParameters.Read(json, "sliding_attention") : new("default", 10000, 1, null);
        RopeParameters = hasParameters
            ? RopeParameters.Read(json, "full_attention", 1_000_000) : new("proportional", 1_000_000, 0.25, null);
        GlobalHeadDim = json.IsNull("global_head_dim") ? HeadDim : json.Size("global_head_dim", 512);
        IReadOnlyList<string> types = SlidingWindows.LayerTypes(json, NumLayers);
        if (types.Count == 0)
            types = [.. Enumerable.Range(1, NumLayers).Select(layer => layer % 6 == 0 ? "full_attention" : "sliding_attention")];
        Sharing = new KeySharing(json, [.. types.SkipLast(1), "full_attention"], json.Integer("num_kv_shared_layers", 0));
        if (NumHeads % GlobalKvHeads != 0)
            throw json.InvalidValue("num_global_key_value_heads", $"must divide num_attention_heads, {NumHeads}", $"{GlobalKvHeads}");
    }

    /// <summary>Those of layers with a window.</summary>
    public RopeParameters LocalRopeParameters { get; }

    /// <summary>head_dim of the layers without a window.</summary>
    public int GlobalHeadDim { get; }

    internal KeySharing Sharing { get; }

    public bool AttentionBias => Json.Flag("attention_bias", false);

    /// <summary>Whether the values of layers without a window are the projections of the keys.</summary>
    public bool KeysAreValues => Json.Flag("attention_k_eq_v", false);

    public int SlidingWindow => Json.Size("sliding_window", 512);

    /// <summary>The size of the input that each layer has for itself; 0 for none.</summary>
    public int PerLayerInputSize => Json.IsNull("hidden_size_per_layer_input") ? 0 : Json.Count("hidden_size_per_layer_input", 256);

    public int PerLayerVocabSize => Json.Size("vocab_size_per_layer_input", 262144);

    public bool EnableMoeBlock => Json.Flag("enable_moe_block", false);

    private int GlobalKvHeads =>
        KeysAreValues && Json.Has("num_global_key_value_heads") ? Json.Size("num_global_key_value_heads") : NumKvHeads;

    public int HeadDimOf(int layer) => Sharing.IsSliding(layer) ? HeadDim : GlobalHeadDim;

    public int KvHeadsOf(int layer) => Sharing.IsSliding(layer) ? NumKvHeads : GlobalKvHeads;

    public int IntermediateSizeOf(int layer) =>
        Json.Flag("use_double_wide_mlp", false) && Sharing.IsReader(layer) ? 2 * IntermediateSize : IntermediateSize;

    internal Activation CreateActivation() => Activation.Read(Json, "hidden_activation", "gelu_pytorch_tanh");

    internal RMSNorm CreateNorm(int size, Axes? axes = null, bool hasWeight = true) =>
        new("Gemma4RMSNorm", size, NormEps, NormKind.RmsRoundedOnce, axes, format: "", hasWeight);

    internal DecoderDescription Describe() => new(this, "Gemma4")
    {
        LogitSoftCap = Json.Has("final_logit_softcapping") ? Json.Real("final_logit_softcapping") : null,
    };
}
