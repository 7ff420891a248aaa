using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Gemma 2.</summary>
/// <remarks>transformers/models/gemma2/configuration_gemma2.py</remarks>
public sealed record Gemma2Config : DecoderConfig
{
    public Gemma2Config(ConfigReader json) : base(json, new()
    {
        VocabSize = 256000, MaxPositions = 8192, HiddenSize = 2304, IntermediateSize = 9216, NumLayers = 26, NumHeads = 8, NumKvHeads = 4,
        HeadDim = 256, TieWordEmbeddings = true, PadTokenId = 0,
    }) => json.RequireFalse("use_bidirectional_attention", "tokens see only those before them");

    public bool AttentionBias => Json.Flag("attention_bias", false);

    /// <summary>The square of what scores are divided by.</summary>
    public double QueryPreAttentionScalar => Json.Real("query_pre_attn_scalar", 256);

    public double? AttentionLogitSoftcapping => Json.IsNull("attn_logit_softcapping") ? null : Json.Real("attn_logit_softcapping", 50);

    public double? FinalLogitSoftcapping => Json.IsNull("final_logit_softcapping") ? null : Json.Real("final_logit_softcapping", 30);
}

/// <summary>Gemma 2: norms before and after attention and mlp, every other layer with a window, and caps on scores and logits.</summary>
/// <remarks>transformers/models/gemma2/modeling_gemma2.py; Gemma Team, Gemma 2, 2024</remarks>
[Architecture("Gemma2ForCausalLM", ModelType = "gemma2")]
public sealed class Gemma2ForCausalLM : DecoderForCausalLM
{
    public Gemma2ForCausalLM(ConfigReader json) : this(Describe(new Gemma2Config(json))) { }

    private Gemma2ForCausalLM(DecoderDescription description) : base(description, new Gemma2Model(description)) { }

    private static DecoderDescription Describe(Gemma2Config config) => new(config, "Gemma2")
    {
        EmbeddingClass = "Gemma2TextScaledWordEmbedding", ScalesEmbeddings = true, Norm = NormKind.RmsUnitOffset,
        LayerNorms = LayerNorms.Sandwich, Windows = SlidingWindows.ReadAlternating(config.Json, config.NumLayers, period: 2),
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, Scale = 1 / Math.Sqrt(config.QueryPreAttentionScalar),
        AttentionSoftCap = config.AttentionLogitSoftcapping, LogitSoftCap = config.FinalLogitSoftcapping,
        Activation = ("hidden_activation", "gelu_pytorch_tanh"), PassesPositionIdsByPosition = true, PassesUseCache = false,
    };
}

/// <summary>Two masks: one for the layers with a window, one for the others.</summary>
public sealed partial class Gemma2Model : DecoderModel
{
    internal Gemma2Model(DecoderDescription description) : base(description) { }

    protected override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        int?[] windows = _windows!;
        Tensor hidden = _embedTokens.Call(inputIds);                                                // [batch, seq, hidden]
        Tensor full = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype);          // [batch, 1, seq, kvSeq]
        Tensor? sliding = windows.Max() is { } window
            ? AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype, window) : null;   // [batch, 1, seq, kvSeq]
        object?[] positions = _rotaryEmb!.Call(hidden, positionIds);                                // 2 x [batch, seq, headDim]
        for (int layer = 0; layer < _layers.Count; layer++)
        {
            Tensor mask = windows[layer] is null ? full : sliding!;                                // [batch, 1, seq, kvSeq]
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positionIds, cache, positions)[0]!;  // [batch, seq, hidden]
        }
        hidden = _norm.Call(hidden);                                                                // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}
