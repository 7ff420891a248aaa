using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>What config.json says of a StableLM.</summary>
/// <param name="QkNorm">Each head of queries and keys has a norm of its own.</param>
/// <param name="Parallel">Attention and mlp both read the layer's first norm.</param>
/// <param name="Groups">Key and value heads; each serves Heads / Groups query heads.</param>
/// <remarks>transformers/models/stablelm/configuration_stablelm.py</remarks>
public sealed record StableLmConfig(int Vocabulary, int Positions, int Width, int Inner, int Layers, int Heads, int Groups, int HeadWidth,
    double Epsilon, RopeParameters Rope, bool QkvBias, bool QkNorm, bool Parallel, double HiddenDropout, bool Tied, int? Padding)
{
    /// <summary>The part of a head that is rotated.</summary>
    public int RotaryWidth => (int)(HeadWidth * Rope.PartialRotaryFactor);

    public static StableLmConfig Read(ConfigReader json)
    {
        int width = json.Size("hidden_size", 2560), heads = json.Size("num_attention_heads", 32);
        int groups = json.NumKvHeads(heads, 32);
        if (!json.Has("head_dim") && width % heads != 0)
            throw json.InvalidValue("hidden_size", $"must be a multiple of num_attention_heads, {heads}", $"{width}");
        return new StableLmConfig(json.Size("vocab_size", 50304), json.Size("max_position_embeddings", 4096), width,
            json.Size("intermediate_size", 6912), json.Size("num_hidden_layers", 32), heads, groups, json.Size("head_dim", width / heads),
            json.Real("layer_norm_eps", 1e-5), RopeParameters.Read(json, partialRotaryFactor: 0.25), json.Flag("use_qkv_bias", false),
            json.Flag("qk_layernorm", false), json.Flag("use_parallel_residual", false), json.Real("hidden_dropout", 0.0),
            json.Flag("tie_word_embeddings", false), json.Has("pad_token_id") ? (int)json.Integer("pad_token_id") : null);
    }
}

/// <summary>StableLM: layer norms, and positions that rotate a part of each head only.</summary>
/// <remarks>transformers/models/stablelm/modeling_stablelm.py</remarks>
[Architecture("StableLmForCausalLM", ModelType = "stablelm")]
public sealed partial class StableLmForCausalLM : CausalLM
{
    private readonly StableLmModel _model;
    private readonly Linear _lmHead;

    public StableLmForCausalLM(ConfigReader json)
    {
        StableLmConfig config = StableLmConfig.Read(json);
        Config = new CausalLMConfig(config.Vocabulary, config.Positions, config.Layers);
        _model = Child("model", new StableLmModel(config, json));
        _lmHead = Child("lm_head", new Linear(config.Width, config.Vocabulary, bias: false, config.Tied ? _model.Embeddings : null));
    }

    public override StandardNames Names => new()
    {
        Embed = "model.embed_tokens", Layers = "model.layers", FinalNorm = "model.norm", LmHead = "lm_head",
        Attention = "self_attn", Mlp = "mlp",
    };

    public override CausalLMConfig Config { get; }

    public override string BaseModelPrefix => "model";

    protected override ModelOutput Forward(
        Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, int logitsToKeep)
    {
        ModelOutput output = _model.Call(inputIds, attentionMask, positionIds, cache);
        var hidden = (Tensor)output["last_hidden_state"]!;              // [batch, seq, hidden]
        Tensor logits = _lmHead.Call(Kept(hidden, logitsToKeep));       // [batch, seq kept, vocab]
        return new ModelOutput(new("logits", logits), new("past_key_values", output["past_key_values"]));
    }
}

public sealed partial class StableLmModel : SiteModule
{
    private readonly Embedding _embedTokens;
    private readonly ModuleList<StableLmDecoderLayer> _layers;
    private readonly LayerNorm _norm;
    private readonly RotaryEmbedding _rotaryEmb;

    internal StableLmModel(StableLmConfig config, ConfigReader json)
    {
        _embedTokens = Child("embed_tokens", new Embedding(config.Vocabulary, config.Width, config.Padding));
        _layers = Child("layers", new ModuleList<StableLmDecoderLayer>(config.Layers, layer => new StableLmDecoderLayer(config, json, layer)));
        _norm = Child("norm", new LayerNorm(config.Width, config.Epsilon));
        _rotaryEmb = Child("rotary_emb", new RotaryEmbedding("StableLmRotaryEmbedding", new(json, config.Rope, config.RotaryWidth)));
    }

    /// <summary>[vocab, hidden]</summary>
    internal Parameter Embeddings => _embedTokens.Table;

    public override Axes InputAxes(string argument) => argument == "attention_mask" ? new Axes(0, Axes.None, 1) : Axes.Hidden;

    public ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("input_ids", inputIds), new("attention_mask", attentionMask), new("position_ids", positionIds),
            new("past_key_values", cache), new("use_cache", cache is not null),
        ]))
        : Forward(inputIds, attentionMask, positionIds, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "position_ids"),
        arguments.Get(3, "past_key_values") as KeyValueCache);

    private ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = _embedTokens.Call(inputIds);                                                // [batch, seq, hidden]
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype);          // [batch, 1, seq, kvSeq]
        object?[] positions = _rotaryEmb.Call(hidden, positionIds);                                 // 2 x [batch, seq, rotaryDim]
        for (int layer = 0; layer < _layers.Count; layer++)
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positionIds, cache, positions)[0]!;  // [batch, seq, hidden]
        hidden = _norm.Call(hidden);                                                                // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

public sealed partial class StableLmDecoderLayer : SiteModule
{
    private readonly StableLmAttention _selfAttn;
    private readonly StableLmMLP _mlp;
    private readonly LayerNorm _inputLayernorm;
    private readonly LayerNorm? _postAttentionLayernorm; // null where attention and mlp are parallel
    private readonly Dropout _dropout;

    internal StableLmDecoderLayer(StableLmConfig config, ConfigReader json, int layer)
    {
        _selfAttn = Child("self_attn", new StableLmAttention(config, layer));
        _mlp = Child("mlp", new StableLmMLP(config, json));
        _inputLayernorm = Child("input_layernorm", new LayerNorm(config.Width, config.Epsilon));
        if (!config.Parallel) _postAttentionLayernorm = Child("post_attention_layernorm", new LayerNorm(config.Width, config.Epsilon));
        _dropout = Child("dropout", new Dropout(config.HiddenDropout));
    }

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings) =>
        Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [
                new("attention_mask", mask), new("position_ids", positionIds), new("past_key_values", cache),
                new("use_cache", cache is not null), new("position_embeddings", positionEmbeddings),
            ]))
            : Forward(hidden, mask, positionIds, cache, positionEmbeddings);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "position_ids"),
        arguments.Get(3, "past_key_values") as KeyValueCache,
        arguments.Tuple(5, "position_embeddings"));

    private object?[] Forward(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _inputLayernorm.Call(hidden);                                               // [batch, seq, hidden]
        var attended = (Tensor)_selfAttn.Call(normal, mask, positionIds, cache, positionEmbeddings)[0]!;     // [batch, seq, hidden]
        Tensor middle = hidden + attended;                                                          // [batch, seq, hidden]
        Tensor second = _postAttentionLayernorm?.Call(middle) ?? normal;                            // [batch, seq, hidden]
        Tensor output = middle + _dropout.Call(_mlp.Call(second));                                  // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

public sealed partial class StableLmAttention : SiteModule
{
    private readonly int _layer, _heads, _kvHeads, _headDim, _rotaryDim;
    private readonly double _scale;
    private readonly Linear _qProj, _kProj, _vProj, _oProj;
    private readonly StableLmLayerNormPerHead? _qLayernorm, _kLayernorm;
    private readonly FusedAttention? _fusedAttention;

    internal StableLmAttention(StableLmConfig config, int layer)
    {
        (_layer, _heads, _kvHeads, _headDim, _rotaryDim) = (layer, config.Heads, config.Groups, config.HeadWidth, config.RotaryWidth);
        _scale = 1 / Math.Sqrt(_headDim);
        _qProj = Child("q_proj", new Linear(config.Width, _heads * _headDim, config.QkvBias));
        _kProj = Child("k_proj", new Linear(config.Width, _kvHeads * _headDim, config.QkvBias));
        _vProj = Child("v_proj", new Linear(config.Width, _kvHeads * _headDim, config.QkvBias));
        _oProj = Child("o_proj", new Linear(_heads * _headDim, config.Width, bias: false));
        if (!config.QkNorm)
        {
            _fusedAttention = new FusedAttention(this, layer, _heads, _kvHeads, _headDim, _scale) { Projections = [_qProj, _kProj, _vProj], OutputProjection = _oProj };
            return;
        }
        _qLayernorm = Child("q_layernorm", new StableLmLayerNormPerHead(_headDim, _heads, config.Epsilon));
        _kLayernorm = Child("k_layernorm", new StableLmLayerNormPerHead(_headDim, _kvHeads, config.Epsilon));
    }

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings) =>
        Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([],
            [
                new("hidden_states", hidden), new("attention_mask", mask), new("position_ids", positionIds), new("past_key_values", cache),
                new("use_cache", cache is not null), new("position_embeddings", positionEmbeddings),
            ]))
            : Forward(hidden, mask, cache, positionEmbeddings);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Get(3, "past_key_values") as KeyValueCache,
        arguments.Tuple(5, "position_embeddings"));

    private object?[] Forward(Tensor hidden, Tensor mask, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        if (_fusedAttention?.TryForward(hidden, cache, mask, positionEmbeddings) is { } quick) return quick;
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_qProj.Call(hidden), _heads, _headDim);          // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_kProj.Call(hidden), _kvHeads, _headDim);           // [batch, kvHeads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), _kvHeads, _headDim);         // [batch, kvHeads, seq, headDim]
        query = RotateSome(_qLayernorm?.Call(query) ?? query, positionEmbeddings);
        key = RotateSome(_kLayernorm?.Call(key) ?? key, positionEmbeddings);
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scale);
        Tensor output = _oProj.Call(mixed.flatten(2));                                          // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }

    /// <summary>The first part of each head rotated, the rest as it was.</summary>
    /// <param name="x">[batch, heads, seq, headDim]</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    [Operation("apply_rotary_pos_emb")]
    private Tensor RotateSome(Tensor x, object?[] positionEmbeddings) => _rotaryDim == _headDim ? RotaryEmbedding.Rotate(x, positionEmbeddings)
        : cat([RotaryEmbedding.Rotate(x.narrow(-1, 0, _rotaryDim), positionEmbeddings), x.narrow(-1, _rotaryDim, _headDim - _rotaryDim)], -1);
}

/// <summary>A norm for each head.</summary>
public sealed partial class StableLmLayerNormPerHead : TensorModule
{
    private readonly ModuleList<LayerNorm> _norms;

    internal StableLmLayerNormPerHead(int width, int heads, double epsilon) =>
        _norms = Child("norms", new ModuleList<LayerNorm>(heads, _ => new LayerNorm(width, epsilon, bias: false, axes: new(0, 2))));

    public override Axes OutputAxes(int element) => new(0, 2);

    public override Axes InputAxes(string argument) => new(0, 2);

    /// <param name="input">[batch, heads, seq, headDim]</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor[] heads = input.split(1, 1);                                             // heads x [batch, 1, seq, headDim]
        for (int head = 0; head < heads.Length; head++) heads[head] = _norms[head].Call(heads[head]);
        return cat(heads, 1).MoveToOuterDisposeScope();                                 // [batch, heads, seq, headDim]
    }
}

public sealed partial class StableLmMLP : TensorModule
{
    private readonly Linear _gateProj, _upProj, _downProj;
    private readonly FusedMlp _fusedMlp;
    private readonly Activation _actFn;

    internal StableLmMLP(StableLmConfig config, ConfigReader json)
    {
        _gateProj = Child("gate_proj", new Linear(config.Width, config.Inner, bias: false));
        _upProj = Child("up_proj", new Linear(config.Width, config.Inner, bias: false));
        _downProj = Child("down_proj", new Linear(config.Inner, config.Width, bias: false));
        _actFn = Child("act_fn", Activation.Read(json, "hidden_act", "silu"));
        _fusedMlp = new FusedMlp(this, _gateProj, _upProj, _downProj, _actFn.Kind);
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_fusedMlp.TryForward(input) is { } quick) return quick;
        using var scope = NewDisposeScope();
        Tensor gate = _actFn.Call(_gateProj.Call(input));                               // [batch, seq, intermediate]
        Tensor inner = gate * _upProj.Call(input);                                      // [batch, seq, intermediate]
        return _downProj.Call(inner).MoveToOuterDisposeScope();                         // [batch, seq, hidden]
    }
}
