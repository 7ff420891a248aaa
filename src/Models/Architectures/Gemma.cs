using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>What config.json says of a Gemma.</summary>
/// <param name="Groups">Key and value heads; each serves Heads / Groups query heads.</param>
/// <remarks>transformers/models/gemma/configuration_gemma.py</remarks>
public sealed record GemmaConfig(int Vocabulary, int Positions, int Width, int Inner, int Layers, int Heads, int Groups, int HeadWidth,
    double Epsilon, RopeParameters Rope, bool AttentionBias, bool Tied, int Padding)
{
    public static GemmaConfig Read(ConfigReader json)
    {
        int heads = json.Size("num_attention_heads", 16), groups = json.NumKvHeads(heads, 16);
        json.RequireFalse("use_bidirectional_attention", "tokens see only those before them");
        return new GemmaConfig(json.Size("vocab_size", 256000), json.Size("max_position_embeddings", 8192),
            json.Size("hidden_size", 3072), json.Size("intermediate_size", 24576), json.Size("num_hidden_layers", 28), heads, groups,
            json.Size("head_dim", 256), json.Real("rms_norm_eps", 1e-6), RopeParameters.Read(json), json.Flag("attention_bias", false),
            json.Flag("tie_word_embeddings", true), (int)json.Integer("pad_token_id", 0));
    }
}

/// <summary>Gemma: a Llama with scaled embeddings, norms that multiply with 1 + weight, heads of their own width, a GELU gate.</summary>
/// <remarks>transformers/models/gemma/modeling_gemma.py; Gemma Team, 2024</remarks>
[Architecture("GemmaForCausalLM", ModelType = "gemma")]
public sealed partial class GemmaForCausalLM : CausalLM
{
    private readonly GemmaModel _model;
    private readonly Linear _lmHead;

    public GemmaForCausalLM(ConfigReader json)
    {
        GemmaConfig config = GemmaConfig.Read(json);
        Config = new CausalLMConfig(config.Vocabulary, config.Positions, config.Layers);
        _model = Child("model", new GemmaModel(config, json));
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

public sealed partial class GemmaModel : SiteModule
{
    private readonly ScaledEmbedding _embedTokens;
    private readonly ModuleList<GemmaDecoderLayer> _layers;
    private readonly GemmaRMSNorm _norm;
    private readonly RotaryEmbedding _rotaryEmb;

    internal GemmaModel(GemmaConfig config, ConfigReader json)
    {
        _embedTokens = Child("embed_tokens",
            new ScaledEmbedding("GemmaTextScaledWordEmbedding", config.Vocabulary, config.Width, config.Padding));
        _layers = Child("layers", new ModuleList<GemmaDecoderLayer>(config.Layers, layer => new GemmaDecoderLayer(config, json, layer)));
        _norm = Child("norm", new GemmaRMSNorm("GemmaRMSNorm", config.Width, config.Epsilon));
        _rotaryEmb = Child("rotary_emb", new RotaryEmbedding("GemmaRotaryEmbedding", new(json, config.Rope, config.HeadWidth)));
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

public sealed partial class GemmaDecoderLayer : SiteModule
{
    private readonly GemmaAttention _selfAttn;
    private readonly GemmaMLP _mlp;
    private readonly GemmaRMSNorm _inputLayernorm, _postAttentionLayernorm;

    internal GemmaDecoderLayer(GemmaConfig config, ConfigReader json, int layer)
    {
        _selfAttn = Child("self_attn", new GemmaAttention(config, layer));
        _mlp = Child("mlp", new GemmaMLP(config, json));
        _inputLayernorm = Child("input_layernorm", new GemmaRMSNorm("GemmaRMSNorm", config.Width, config.Epsilon));
        _postAttentionLayernorm = Child("post_attention_layernorm", new GemmaRMSNorm("GemmaRMSNorm", config.Width, config.Epsilon));
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
        Tensor output = middle + _mlp.Call(_postAttentionLayernorm.Call(middle));                   // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

public sealed partial class GemmaAttention : SiteModule
{
    private readonly int _layer, _heads, _kvHeads, _headDim;
    private readonly double _scale;
    private readonly Linear _qProj, _kProj, _vProj, _oProj;
    private readonly FusedAttention _fusedAttention;

    internal GemmaAttention(GemmaConfig config, int layer)
    {
        (_layer, _heads, _kvHeads, _headDim) = (layer, config.Heads, config.Groups, config.HeadWidth);
        _scale = 1 / Math.Sqrt(_headDim);
        _qProj = Child("q_proj", new Linear(config.Width, _heads * _headDim, config.AttentionBias));
        _kProj = Child("k_proj", new Linear(config.Width, _kvHeads * _headDim, config.AttentionBias));
        _vProj = Child("v_proj", new Linear(config.Width, _kvHeads * _headDim, config.AttentionBias));
        _oProj = Child("o_proj", new Linear(_heads * _headDim, config.Width, config.AttentionBias));
        _fusedAttention = new FusedAttention(this, layer, _heads, _kvHeads, _headDim, _scale) { Projections = [_qProj, _kProj, _vProj], OutputProjection = _oProj };
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
        Tensor query = EagerAttention.SplitHeads(_qProj.Call(hidden), _heads, _headDim);          // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_kProj.Call(hidden), _kvHeads, _headDim);           // [batch, kvHeads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), _kvHeads, _headDim);         // [batch, kvHeads, seq, headDim]
        query = RotaryEmbedding.Rotate(query, positionEmbeddings);
        key = RotaryEmbedding.Rotate(key, positionEmbeddings);
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scale);
        Tensor output = _oProj.Call(mixed.flatten(2));                                          // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}

public sealed partial class GemmaMLP : TensorModule
{
    private readonly Linear _gateProj, _upProj, _downProj;
    private readonly FusedMlp _fusedMlp;
    private readonly Activation _actFn;

    internal GemmaMLP(GemmaConfig config, ConfigReader json)
    {
        _gateProj = Child("gate_proj", new Linear(config.Width, config.Inner, bias: false));
        _upProj = Child("up_proj", new Linear(config.Width, config.Inner, bias: false));
        _downProj = Child("down_proj", new Linear(config.Inner, config.Width, bias: false));
        _actFn = Child("act_fn", Activation.Read(json, "hidden_act", "gelu_pytorch_tanh"));
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
