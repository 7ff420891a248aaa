using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>What config.json says of OLMo 2.</summary>
/// <param name="Groups">Key and value heads; each serves Heads / Groups query heads.</param>
/// <remarks>transformers/models/olmo2/configuration_olmo2.py</remarks>
public sealed record Olmo2Config(int Vocabulary, int Positions, int Width, int Inner, int Layers, int Heads, int Groups, int HeadWidth,
    double Epsilon, RopeParameters Rope, bool AttentionBias, bool Tied, int? Padding)
{
    public static Olmo2Config Read(ConfigReader json)
    {
        int width = json.Size("hidden_size", 4096), heads = json.Size("num_attention_heads", 32);
        int groups = json.NumKvHeads(heads, heads);
        if (!json.Has("head_dim") && width % heads != 0)
            throw json.InvalidValue("hidden_size", $"must be a multiple of num_attention_heads, {heads}", $"{width}");
        return new Olmo2Config(json.Size("vocab_size", 50304), json.Size("max_position_embeddings", 2048), width,
            json.Size("intermediate_size", 11008), json.Size("num_hidden_layers", 32), heads, groups, json.Size("head_dim", width / heads),
            json.Real("rms_norm_eps", 1e-5), RopeParameters.Read(json), json.Flag("attention_bias", false),
            json.Flag("tie_word_embeddings", false), json.Has("pad_token_id") ? (int)json.Integer("pad_token_id")
                : json.Keys.Contains("pad_token_id") ? null : 1);
    }
}

/// <summary>OLMo 2: norms after attention and mlp rather than before, and on all queries and all keys together.</summary>
/// <remarks>transformers/models/olmo2/modeling_olmo2.py; OLMo team, 2025</remarks>
[Architecture("Olmo2ForCausalLM", ModelType = "olmo2")]
public sealed partial class Olmo2ForCausalLM : CausalLM
{
    private readonly Olmo2Model _model;
    private readonly Linear _lmHead;

    public Olmo2ForCausalLM(ConfigReader json)
    {
        Olmo2Config config = Olmo2Config.Read(json);
        Config = new CausalLMConfig(config.Vocabulary, config.Positions, config.Layers);
        _model = Child("model", new Olmo2Model(config, json));
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

public sealed partial class Olmo2Model : SiteModule
{
    private readonly Embedding _embedTokens;
    private readonly ModuleList<Olmo2DecoderLayer> _layers;
    private readonly Olmo2RMSNorm _norm;
    private readonly RotaryEmbedding _rotaryEmb;

    internal Olmo2Model(Olmo2Config config, ConfigReader json)
    {
        _embedTokens = Child("embed_tokens", new Embedding(config.Vocabulary, config.Width, config.Padding));
        _layers = Child("layers", new ModuleList<Olmo2DecoderLayer>(config.Layers, layer => new Olmo2DecoderLayer(config, json, layer)));
        _norm = Child("norm", new Olmo2RMSNorm(config.Width, config.Epsilon));
        _rotaryEmb = Child("rotary_emb", new RotaryEmbedding("Olmo2RotaryEmbedding", new(json, config.Rope, config.HeadWidth)));
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
        object?[] positions = _rotaryEmb.Call(hidden, positionIds);                                 // 2 x [batch, seq, headDim]
        for (int layer = 0; layer < _layers.Count; layer++)
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positionIds, cache, positions)[0]!;  // [batch, seq, hidden]
        hidden = _norm.Call(hidden);                                                                // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

public sealed partial class Olmo2DecoderLayer : SiteModule
{
    private readonly Olmo2Attention _selfAttn;
    private readonly Olmo2MLP _mlp;
    private readonly Olmo2RMSNorm _postAttentionLayernorm, _postFeedforwardLayernorm;

    internal Olmo2DecoderLayer(Olmo2Config config, ConfigReader json, int layer)
    {
        _selfAttn = Child("self_attn", new Olmo2Attention(config, layer));
        _mlp = Child("mlp", new Olmo2MLP(config, json));
        _postAttentionLayernorm = Child("post_attention_layernorm", new Olmo2RMSNorm(config.Width, config.Epsilon));
        _postFeedforwardLayernorm = Child("post_feedforward_layernorm", new Olmo2RMSNorm(config.Width, config.Epsilon));
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
        var attended = (Tensor)_selfAttn.Call(hidden, mask, positionIds, cache, positionEmbeddings)[0]!;     // [batch, seq, hidden]
        Tensor middle = hidden + _postAttentionLayernorm.Call(attended);                            // [batch, seq, hidden]
        Tensor output = middle + _postFeedforwardLayernorm.Call(_mlp.Call(middle));                 // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

public sealed partial class Olmo2Attention : SiteModule
{
    private readonly int _layer, _heads, _kvHeads, _headDim;
    private readonly double _scale;
    private readonly Linear _qProj, _kProj, _vProj, _oProj;
    private readonly Olmo2RMSNorm _qNorm, _kNorm;
    private readonly FusedAttention _fusedAttention;

    internal Olmo2Attention(Olmo2Config config, int layer)
    {
        (_layer, _heads, _kvHeads, _headDim) = (layer, config.Heads, config.Groups, config.HeadWidth);
        _scale = 1 / Math.Sqrt(_headDim);
        _qProj = Child("q_proj", new Linear(config.Width, _heads * _headDim, config.AttentionBias));
        _kProj = Child("k_proj", new Linear(config.Width, _kvHeads * _headDim, config.AttentionBias));
        _vProj = Child("v_proj", new Linear(config.Width, _kvHeads * _headDim, config.AttentionBias));
        _oProj = Child("o_proj", new Linear(_heads * _headDim, config.Width, config.AttentionBias));
        _qNorm = Child("q_norm", new Olmo2RMSNorm(_heads * _headDim, config.Epsilon));
        _kNorm = Child("k_norm", new Olmo2RMSNorm(_kvHeads * _headDim, config.Epsilon));
        _fusedAttention = new FusedAttention(this, layer, _heads, _kvHeads, _headDim, _scale) { Projections = [_qProj, _kProj, _vProj], OutputProjection = _oProj, QueryNorm = _qNorm, KeyNorm = _kNorm, NormalizesAllHeads = true };
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
        if (_fusedAttention.TryForward(hidden, cache, mask, positionEmbeddings) is { } quick) return quick;
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_qNorm.Call(_qProj.Call(hidden)), _heads, _headDim);  // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_kNorm.Call(_kProj.Call(hidden)), _kvHeads, _headDim);   // [batch, kvHeads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), _kvHeads, _headDim);         // [batch, kvHeads, seq, headDim]
        query = RotaryEmbedding.Rotate(query, positionEmbeddings);
        key = RotaryEmbedding.Rotate(key, positionEmbeddings);
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scale);
        Tensor output = _oProj.Call(mixed.flatten(2));                                          // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}

public sealed partial class Olmo2MLP : TensorModule
{
    private readonly Linear _gateProj, _upProj, _downProj;
    private readonly FusedMlp _fusedMlp;
    private readonly Activation _actFn;

    internal Olmo2MLP(Olmo2Config config, ConfigReader json)
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

/// <summary>As <see cref="RMSNorm"/>, but scaled before it goes back to the input's dtype.</summary>
public sealed partial class Olmo2RMSNorm : TensorModule, INormLayer
{
    private readonly int _width;
    private readonly double _epsilon;
    private readonly Parameter _weight; // [hidden]

    internal Olmo2RMSNorm(int width, double epsilon)
    {
        (_width, _epsilon) = (width, epsilon);
        _weight = Weight("weight", width);
    }

    public override string ExtraRepr => $"({_width},), eps={PythonNumberFormat.Format(_epsilon)}";

    NormKernel? INormLayer.GetKernel(ScalarType type) => NormKernel.TryCreate(NormKind.RmsRoundedOnce, _weight, null, _epsilon, type);

    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (NormKernel.TryForward(NormKind.RmsRoundedOnce, input, _weight, null, _epsilon) is { } quick) return quick;
        using var scope = NewDisposeScope();
        Tensor wide = input.to(ScalarType.Float32);                                 // [..., hidden]
        Tensor variance = wide.square().mean([-1], keepdim: true);                  // [..., 1]
        Tensor normal = wide * rsqrt(variance + _epsilon);                          // [..., hidden]
        return (_weight.Value * normal).to(input.dtype).MoveToOuterDisposeScope();  // [..., hidden]
    }
}
