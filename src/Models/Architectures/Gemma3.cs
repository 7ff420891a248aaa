using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Gemma 3.</summary>
/// <remarks>transformers/models/gemma3/configuration_gemma3.py</remarks>
public sealed record Gemma3TextConfig : DecoderConfig
{
    public Gemma3TextConfig(ConfigReader json) : base(json, new()
    {
        VocabSize = 262208, MaxPositions = 131072, HiddenSize = 2304, IntermediateSize = 9216, NumLayers = 26, NumHeads = 8, NumKvHeads = 4,
        HeadDim = 256, TieWordEmbeddings = true, PadTokenId = 0,
    })
    {
        json.RequireFalse("use_bidirectional_attention", "tokens see only those before them");
        RopeParameters = RopeParameters.Read(json, "full_attention", 1_000_000);
        LocalRopeParameters = json.Section("rope_parameters")?.Has("sliding_attention") ?? false
            ? RopeParameters.Read(json, "sliding_attention")
            : new RopeParameters("default", json.Real("rope_local_base_freq", 10000), 1.0, null);
    }

    /// <summary>Those of layers with a window.</summary>
    public RopeParameters LocalRopeParameters { get; }

    public bool AttentionBias => Json.Flag("attention_bias", false);

    /// <summary>The square of what scores are divided by.</summary>
    public double QueryPreAttentionScalar => Json.Real("query_pre_attn_scalar", 256);

    public double? AttentionLogitSoftcapping => Json.Has("attn_logit_softcapping") ? Json.Real("attn_logit_softcapping") : null;

    public double? FinalLogitSoftcapping => Json.Has("final_logit_softcapping") ? Json.Real("final_logit_softcapping") : null;
}

/// <summary>
/// Gemma 3, text only: Gemma 2 with norms on queries and keys instead of caps, and rotary frequencies of their own for layers with a
/// window.
/// </summary>
/// <remarks>transformers/models/gemma3/modeling_gemma3.py; Gemma Team, Gemma 3, 2025</remarks>
[Architecture("Gemma3ForCausalLM", ModelType = "gemma3_text")]
public sealed class Gemma3ForCausalLM : DecoderForCausalLM
{
    public Gemma3ForCausalLM(ConfigReader json) : this(new Gemma3TextConfig(json)) { }

    private Gemma3ForCausalLM(Gemma3TextConfig config) : this(config, Describe(config)) { }

    private Gemma3ForCausalLM(Gemma3TextConfig config, DecoderDescription description) :
        base(description, new Gemma3TextModel(config, description)) { }

    internal static DecoderDescription Describe(Gemma3TextConfig config) => new(config, "Gemma3")
    {
        ModelClass = "Gemma3TextModel", EmbeddingClass = "Gemma3TextScaledWordEmbedding", ScalesEmbeddings = true,
        Norm = NormKind.RmsUnitOffset, LayerNorms = LayerNorms.Sandwich, QkNorms = QkNorms.EachHeadAfterSplit,
        Windows = SlidingWindows.ReadAlternating(config.Json, config.NumLayers, config.Json.Size("sliding_window_pattern", 6)),
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, Scale = 1 / Math.Sqrt(config.QueryPreAttentionScalar),
        AttentionSoftCap = config.AttentionLogitSoftcapping, LogitSoftCap = config.FinalLogitSoftcapping,
        Activation = ("hidden_activation", "gelu_pytorch_tanh"), PassesUseCache = false,
    };
}

/// <summary>The text part of a multimodal Gemma 3.</summary>
/// <remarks>Gemma3ForConditionalGeneration in transformers/models/gemma3/modeling_gemma3.py</remarks>
[Architecture("Gemma3ForConditionalGeneration", ModelType = "gemma3")]
public sealed class Gemma3ForConditionalGeneration : MultimodalForConditionalGeneration
{
    public Gemma3ForConditionalGeneration(ConfigReader json) : this(new Gemma3TextConfig(TextConfig(json, isTiedByDefault: true))) { }

    private Gemma3ForConditionalGeneration(Gemma3TextConfig config) :
        this(config, Gemma3ForCausalLM.Describe(config) with { TakesEmbeddings = true }) { }

    private Gemma3ForConditionalGeneration(Gemma3TextConfig config, DecoderDescription description) :
        base(description, new Gemma3TextModel(config, description), "Gemma3Model") { }
}

/// <summary>Two masks and two sets of rotary frequencies: for the layers with a window, and for the others.</summary>
public sealed partial class Gemma3TextModel : DecoderModel
{
    private readonly RotaryEmbeddingByLayerType _rotaryByType;

    internal Gemma3TextModel(Gemma3TextConfig config, DecoderDescription description) : base(description, hasRotaryEmbedding: false) =>
        _rotaryByType = Child("rotary_emb", new RotaryEmbeddingByLayerType("Gemma3RotaryEmbedding",
            new(config.Json, config.LocalRopeParameters, config.HeadDim), new(config.Json, config.RopeParameters, config.HeadDim)));

    protected override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        int?[] windows = _windows!;
        Tensor hidden = inputIds;                                                                   // [batch, seq, hidden]
        if (!_takesEmbeddings) hidden = _embedTokens.Call(inputIds);                                // [batch, seq, hidden]
        Tensor full = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype);          // [batch, 1, seq, kvSeq]
        Tensor? sliding = windows.Max() is { } window
            ? AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype, window) : null;   // [batch, 1, seq, kvSeq]
        object?[] local = [], global = [];                                                          // 2 x [batch, seq, headDim]
        if (windows.Any(w => w is not null)) local = _rotaryByType.Call(hidden, positionIds, "sliding_attention");
        if (windows.Any(w => w is null)) global = _rotaryByType.Call(hidden, positionIds, "full_attention");
        for (int layer = 0; layer < _layers.Count; layer++)
        {
            Tensor mask = windows[layer] is null ? full : sliding!;                                // [batch, 1, seq, kvSeq]
            object?[] positions = windows[layer] is null ? global : local;                         // 2 x [batch, seq, headDim]
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positionIds, cache, positions)[0]!;  // [batch, seq, hidden]
        }
        hidden = _norm.Call(hidden);                                                                // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}
