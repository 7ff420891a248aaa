using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>
/// Attention and mlp, each between two norms and added to the residual stream, then a gate for the input of the layer; at the end a factor
/// of the whole stream. Experts, where there are any, run beside the mlp.
/// </summary>
public sealed partial class Gemma4TextDecoderLayer : SiteModule
{
    private readonly Gemma4TextAttention _selfAttn;
    private readonly GatedMlp _mlp;
    private readonly RMSNorm _inputLayernorm, _postAttentionLayernorm, _preFeedforwardLayernorm, _postFeedforwardLayernorm;
    private readonly Parameter _layerScalar; // [1]
    private readonly Activation? _actFn;
    private readonly Linear? _perLayerInputGate, _perLayerProjection;
    private readonly Gemma4TextRouter? _router;
    private readonly Experts? _experts;
    private readonly RMSNorm? _postPerLayerInputNorm, _postFeedforwardLayernorm1, _postFeedforwardLayernorm2, _preFeedforwardLayernorm2;

    internal Gemma4TextDecoderLayer(Gemma4TextConfig config, int layer)
    {
        int size = config.HiddenSize;
        _selfAttn = Child("self_attn", new Gemma4TextAttention(config, layer));
        _mlp = Child("mlp", new GatedMlp("Gemma4TextMLP", size, config.IntermediateSizeOf(layer), config.CreateActivation()));
        _inputLayernorm = Child("input_layernorm", config.CreateNorm(size));
        _postAttentionLayernorm = Child("post_attention_layernorm", config.CreateNorm(size));
        _preFeedforwardLayernorm = Child("pre_feedforward_layernorm", config.CreateNorm(size));
        _postFeedforwardLayernorm = Child("post_feedforward_layernorm", config.CreateNorm(size));
        _layerScalar = Buffer("layer_scalar", 1);
        if (config.PerLayerInputSize > 0)
        {
            _actFn = Child("act_fn", config.CreateActivation());
            _perLayerInputGate = Child("per_layer_input_gate", new Linear(size, config.PerLayerInputSize, bias: false));
            _perLayerProjection = Child("per_layer_projection", new Linear(config.PerLayerInputSize, size, bias: false));
            _postPerLayerInputNorm = Child("post_per_layer_input_norm", config.CreateNorm(size));
        }
        if (!config.EnableMoeBlock) return;
        _router = Child("router", new Gemma4TextRouter(config));
        _experts = Child("experts", Gemma4TextRouter.CreateExperts(config));
        _postFeedforwardLayernorm1 = Child("post_feedforward_layernorm_1", config.CreateNorm(size));
        _postFeedforwardLayernorm2 = Child("post_feedforward_layernorm_2", config.CreateNorm(size));
        _preFeedforwardLayernorm2 = Child("pre_feedforward_layernorm_2", config.CreateNorm(size, Axes.Flat));
    }

    /// <param name="perLayerInput">[batch, seq, perLayer]; null if layers have no input of their own.</param>
    /// <param name="positionEmbeddings">2 x [batch, seq, headDim]</param>
    /// <param name="mask">[batch, 1, seq, kvSeq], added to the scores</param>
    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor? perLayerInput, SharedKeyValues? shared, object?[] positionEmbeddings, Tensor mask,
        Tensor positionIds, KeyValueCache? cache) => Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([hidden, perLayerInput],
            [
                new("shared_kv_states", shared), new("position_embeddings", positionEmbeddings), new("attention_mask", mask),
                new("position_ids", positionIds), new("past_key_values", cache),
            ]))
            : Forward(hidden, perLayerInput, shared, positionEmbeddings, mask, positionIds, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "per_layer_input") as Tensor,
        arguments.Get(2, "shared_kv_states") as SharedKeyValues,
        arguments.Tuple(3, "position_embeddings"),
        arguments.Tensor(4, "attention_mask"),
        arguments.Tensor(5, "position_ids"),
        arguments.Get(6, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor? perLayerInput, SharedKeyValues? shared, object?[] positionEmbeddings, Tensor mask,
        Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _inputLayernorm.Call(hidden);                                                           // [batch, seq, hidden]
        var attended = (Tensor)_selfAttn.Call(normal, mask, positionIds, cache, positionEmbeddings, shared)[0]!; // [batch, seq, hidden]
        Tensor middle = hidden + _postAttentionLayernorm.Call(attended);                                        // [batch, seq, hidden]
        Tensor changed = _mlp.Call(_preFeedforwardLayernorm.Call(middle));                                      // [batch, seq, hidden]
        if (_router is not null)
        {
            Tensor first = _postFeedforwardLayernorm1!.Call(changed);                                           // [batch, seq, hidden]
            Tensor flat = middle.reshape(-1, middle.size(2));                                                   // [batch · seq, hidden]
            object?[] routing = _router.Call(flat);                                                             // 3 x [batch · seq, ...]
            Tensor routed = _preFeedforwardLayernorm2!.Call(flat);                                              // [batch · seq, hidden]
            routed = _experts!.Call(routed, (Tensor)routing[2]!, (Tensor)routing[1]!);                          // [batch · seq, hidden]
            changed = first + _postFeedforwardLayernorm2!.Call(routed.reshape(middle.shape));                   // [batch, seq, hidden]
        }
        Tensor output = middle + _postFeedforwardLayernorm.Call(changed);                                       // [batch, seq, hidden]
        if (_perLayerInputGate is not null)
        {
            Tensor gate = _actFn!.Call(_perLayerInputGate.Call(output));                                        // [batch, seq, perLayer]
            Tensor projected = _perLayerProjection!.Call(gate * perLayerInput!);                                // [batch, seq, hidden]
            output = output + _postPerLayerInputNorm!.Call(projected);                                          // [batch, seq, hidden]
        }
        output = output * _layerScalar.Value;                                                                   // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

/// <summary>
/// Attention without a scale of the scores, with norms on queries, keys and values. In some models the values of layers without a window
/// are the projections of the keys.
/// </summary>
public sealed partial class Gemma4TextAttention : KeySharingAttention
{
    private readonly Linear _qProj, _oProj;
    private readonly Linear? _kProj, _vProj;
    private readonly RMSNorm _qNorm;
    private readonly RMSNorm? _kNorm, _vNorm;

    internal Gemma4TextAttention(Gemma4TextConfig config, int layer) :
        base(config.Sharing, layer, config.HeadDimOf(layer), config.SlidingWindow)
    {
        int size = config.HiddenSize, querySize = config.NumHeads * HeadDim, keySize = config.KvHeadsOf(layer) * HeadDim;
        _qProj = Child("q_proj", new Linear(size, querySize, config.AttentionBias));
        _qNorm = Child("q_norm", config.CreateNorm(HeadDim));
        if (HasOwnKeys)
        {
            _kNorm = Child("k_norm", config.CreateNorm(HeadDim));
            _vNorm = Child("v_norm", config.CreateNorm(HeadDim, hasWeight: false));
            _kProj = Child("k_proj", new Linear(size, keySize, config.AttentionBias));
            if (!config.KeysAreValues || config.Sharing.IsSliding(layer))
                _vProj = Child("v_proj", new Linear(size, keySize, config.AttentionBias));
        }
        _oProj = Child("o_proj", new Linear(querySize, size, config.AttentionBias));
    }

    protected override object?[] Forward(
        Tensor hidden, object?[] positionEmbeddings, Tensor mask, SharedKeyValues? shared, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        long batch = hidden.size(0), seqLen = hidden.size(1);
        Tensor query = _qNorm.Call(_qProj.Call(hidden).view(batch, seqLen, -1, HeadDim));           // [batch, seq, heads, headDim]
        query = RotaryEmbedding.Rotate(query.transpose(1, 2), positionEmbeddings);                  // [batch, heads, seq, headDim]
        Tensor key, value;                                                                          // 2 x [batch, kvHeads, kvSeq, headDim]
        if (_kProj is null) (key, value) = SharedKeysAndValues(shared, query);
        else
        {
            Tensor ownKey = _kProj.Call(hidden).view(batch, seqLen, -1, HeadDim);                   // [batch, seq, kvHeads, headDim]
            Tensor ownValue = ownKey;                                                               // [batch, seq, kvHeads, headDim]
            if (_vProj is not null) ownValue = _vProj.Call(hidden).view(batch, seqLen, -1, HeadDim); // [batch, seq, kvHeads, headDim]
            key = RotaryEmbedding.Rotate(_kNorm!.Call(ownKey).transpose(1, 2), positionEmbeddings); // [batch, kvHeads, seq, headDim]
            value = _vNorm!.Call(ownValue).transpose(1, 2);                                         // [batch, kvHeads, seq, headDim]
            if (cache is not null) (key, value) = cache.Update(Layer, key, value);
        }
        if (IsSource) shared?.Set(LayerType, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, scale: 1);
        Tensor output = _oProj.Call(mixed.flatten(2));                                              // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}
