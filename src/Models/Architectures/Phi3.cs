using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>What config.json says of Phi-3.</summary>
/// <param name="Window">A token sees itself and Window - 1 before it; null for all.</param>
/// <param name="Groups">Key and value heads; each serves Heads / Groups query heads.</param>
/// <remarks>transformers/models/phi3/configuration_phi3.py</remarks>
public sealed record Phi3Config(int Vocabulary, int Positions, int Width, int Inner, int Layers, int Heads, int Groups, int HeadWidth,
    double Epsilon, RopeParameters Rope, double ResidualDropout, bool Tied, int? Padding, int? Window)
{
    /// <summary>The part of a head that is rotated.</summary>
    public int RotaryWidth => (int)(HeadWidth * Rope.PartialRotaryFactor);

    public static Phi3Config Read(ConfigReader json)
    {
        int width = json.Size("hidden_size", 3072), heads = json.Size("num_attention_heads", 32);
        int groups = json.NumKvHeads(heads, heads);
        if (!json.Has("head_dim") && width % heads != 0)
            throw json.InvalidValue("hidden_size", $"must be a multiple of num_attention_heads, {heads}", $"{width}");
        return new Phi3Config(json.Size("vocab_size", 32064), json.Size("max_position_embeddings", 4096), width,
            json.Size("intermediate_size", 8192), json.Size("num_hidden_layers", 32), heads, groups, json.Size("head_dim", width / heads),
            json.Real("rms_norm_eps", 1e-5), ReadRope(json), json.Real("resid_pdrop", 0.0),
            json.Flag("tie_word_embeddings", false), json.Has("pad_token_id") ? (int)json.Integer("pad_token_id")
                : json.Keys.Contains("pad_token_id") ? null : 32000,
            json.Has("sliding_window") ? json.Size("sliding_window") : null);
    }

    /// <summary>Older files call its long rope "su" or "yarn"; the length before it was stretched is 4096 if the file does not say.</summary>
    private static RopeParameters ReadRope(ConfigReader json)
    {
        RopeParameters rope = RopeParameters.Read(json);
        return rope with { RopeType = rope.RopeType is "su" or "yarn" ? "longrope" : rope.RopeType, OriginalMaxPositions = rope.OriginalMaxPositions ?? 4096 };
    }
}

/// <summary>Phi-3 and Phi-4: queries, keys and values in one projection, gate and up in another.</summary>
/// <remarks>transformers/models/phi3/modeling_phi3.py; Abdin et al., 2024</remarks>
[Architecture("Phi3ForCausalLM", ModelType = "phi3")]
public sealed partial class Phi3ForCausalLM : CausalLM
{
    private readonly Phi3Model _model;
    private readonly Linear _lmHead;

    public Phi3ForCausalLM(ConfigReader json)
    {
        Phi3Config config = Phi3Config.Read(json);
        Config = new CausalLMConfig(config.Vocabulary, config.Positions, config.Layers);
        _model = Child("model", new Phi3Model(config, json));
        _lmHead = Child("lm_head", new Linear(config.Width, config.Vocabulary, bias: false, config.Tied ? _model.Embeddings : null));
    }

    public override StandardNames Names => new()
    {
        Embed = "model.embed_tokens", Layers = "model.layers", FinalNorm = "model.norm", LmHead = "lm_head",
        Attention = "self_attn", Mlp = "mlp",
    };

    public override CausalLMConfig Config { get; }

    public override string BaseModelPrefix => "model";

    /// <summary>Phi3ForCausalLM.prepare_inputs_for_generation forgets the cache there.</summary>
    public override long? CacheRecomputeLength => _model.KnownLength;

    protected override ModelOutput Forward(
        Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, int logitsToKeep)
    {
        ModelOutput output = _model.Call(inputIds, attentionMask, positionIds, cache);
        var hidden = (Tensor)output["last_hidden_state"]!;              // [batch, seq, hidden]
        Tensor logits = _lmHead.Call(Kept(hidden, logitsToKeep));       // [batch, seq kept, vocab]
        return new ModelOutput(new("logits", logits), new("past_key_values", output["past_key_values"]));
    }
}

public sealed partial class Phi3Model : SiteModule
{
    private readonly int? _window;
    private readonly Embedding _embedTokens;
    private readonly ModuleList<Phi3DecoderLayer> _layers;
    private readonly RMSNorm _norm;
    private readonly RotaryEmbedding _rotaryEmb;

    /// <summary>Up to here short rows' rotary frequencies hold, if there are others.</summary>
    internal long? KnownLength => _rotaryEmb.LengthThreshold;

    internal Phi3Model(Phi3Config config, ConfigReader json)
    {
        _window = config.Window;
        _embedTokens = Child("embed_tokens", new Embedding(config.Vocabulary, config.Width, config.Padding));
        _layers = Child("layers", new ModuleList<Phi3DecoderLayer>(config.Layers, layer => new Phi3DecoderLayer(config, json, layer)));
        _norm = Child("norm", new RMSNorm("Phi3RMSNorm", config.Width, config.Epsilon));
        _rotaryEmb = Child("rotary_emb", new RotaryEmbedding("Phi3RotaryEmbedding", new(json, config.Rope, config.RotaryWidth)));
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
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype, _window); // [batch, 1, seq, kvSeq]
        object?[] positions = _rotaryEmb.Call(hidden, positionIds);                                 // 2 x [batch, seq, rotaryDim]
        for (int layer = 0; layer < _layers.Count; layer++)
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positionIds, cache, positions)[0]!;  // [batch, seq, hidden]
        hidden = _norm.Call(hidden);                                                                // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

public sealed partial class Phi3DecoderLayer : SiteModule
{
    private readonly Phi3Attention _selfAttn;
    private readonly Phi3MLP _mlp;
    private readonly RMSNorm _inputLayernorm, _postAttentionLayernorm;
    private readonly Dropout _residAttnDropout, _residMlpDropout;

    internal Phi3DecoderLayer(Phi3Config config, ConfigReader json, int layer)
    {
        _selfAttn = Child("self_attn", new Phi3Attention(config, layer));
        _mlp = Child("mlp", new Phi3MLP(config, json));
        _inputLayernorm = Child("input_layernorm", new RMSNorm("Phi3RMSNorm", config.Width, config.Epsilon));
        _postAttentionLayernorm = Child("post_attention_layernorm", new RMSNorm("Phi3RMSNorm", config.Width, config.Epsilon));
        _residAttnDropout = Child("resid_attn_dropout", new Dropout(config.ResidualDropout));
        _residMlpDropout = Child("resid_mlp_dropout", new Dropout(config.ResidualDropout));
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
        Tensor middle = hidden + _residAttnDropout.Call(attended);                                  // [batch, seq, hidden]
        Tensor changed = _mlp.Call(_postAttentionLayernorm.Call(middle));                           // [batch, seq, hidden]
        Tensor output = middle + _residMlpDropout.Call(changed);                                    // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

public sealed partial class Phi3Attention : SiteModule
{
    private readonly int _layer, _heads, _kvHeads, _headDim, _rotaryDim;
    private readonly double _scale;
    private readonly Linear _oProj, _qkvProj;
    private readonly FusedAttention _fusedAttention;

    internal Phi3Attention(Phi3Config config, int layer)
    {
        (_layer, _heads, _kvHeads, _headDim, _rotaryDim) = (layer, config.Heads, config.Groups, config.HeadWidth, config.RotaryWidth);
        _scale = 1 / Math.Sqrt(_headDim);
        _oProj = Child("o_proj", new Linear(_heads * _headDim, config.Width, bias: false));
        _qkvProj = Child("qkv_proj", new Linear(config.Width, (_heads + 2 * _kvHeads) * _headDim, bias: false));
        _fusedAttention = new FusedAttention(this, layer, _heads, _kvHeads, _headDim, _scale) { Projections = [_qkvProj], OutputProjection = _oProj };
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
        Tensor all = EagerAttention.SplitHeads(_qkvProj.Call(hidden), _heads + 2 * _kvHeads, _headDim); // [batch, heads + 2 kvHeads, seq, headDim]
        Tensor query = RotateSome(all.narrow(1, 0, _heads), positionEmbeddings);                         // [batch, heads, seq, headDim]
        Tensor key = RotateSome(all.narrow(1, _heads, _kvHeads), positionEmbeddings);                     // [batch, kvHeads, seq, headDim]
        Tensor value = all.narrow(1, _heads + _kvHeads, _kvHeads);                                // [batch, kvHeads, seq, headDim]
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

public sealed partial class Phi3MLP : TensorModule
{
    private readonly Linear _gateUpProj, _downProj;
    private readonly FusedMlp _fusedMlp;
    private readonly Activation _activationFn;

    internal Phi3MLP(Phi3Config config, ConfigReader json)
    {
        _gateUpProj = Child("gate_up_proj", new Linear(config.Width, 2 * config.Inner, bias: false));
        _downProj = Child("down_proj", new Linear(config.Inner, config.Width, bias: false));
        _activationFn = Child("activation_fn", Activation.Read(json, "hidden_act", "silu"));
        _fusedMlp = new FusedMlp(this, _gateUpProj, _downProj, _activationFn.Kind);
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_fusedMlp.TryForward(input) is { } quick) return quick;
        using var scope = NewDisposeScope();
        Tensor[] gateAndUp = _gateUpProj.Call(input).chunk(2, -1);                      // 2 x [batch, seq, intermediate]
        Tensor inner = gateAndUp[1] * _activationFn.Call(gateAndUp[0]);                 // [batch, seq, intermediate]
        return _downProj.Call(inner).MoveToOuterDisposeScope();                         // [batch, seq, hidden]
    }
}
