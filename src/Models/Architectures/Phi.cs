using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>What config.json says of a Phi.</summary>
/// <param name="Groups">Key and value heads; each serves Heads / Groups query heads.</param>
/// <remarks>transformers/models/phi/configuration_phi.py</remarks>
public sealed record PhiConfig(int Vocabulary, int Positions, int Width, int Inner, int Layers, int Heads, int Groups, int HeadWidth,
    double Epsilon, RopeParameters Rope, bool NormalizeHeads, bool Tied, double EmbeddingDropout, double ResidualDropout)
{
    public static PhiConfig Read(ConfigReader json)
    {
        int width = json.Size("hidden_size", 2048), heads = json.Size("num_attention_heads", 32);
        int groups = json.NumKvHeads(heads, heads);
        if (!json.Has("head_dim") && width % heads != 0)
            throw json.InvalidValue("hidden_size", $"must be a multiple of num_attention_heads, {heads}", $"{width}");
        return new PhiConfig(json.Size("vocab_size", 51200), json.Size("max_position_embeddings", 2048), width,
            json.Size("intermediate_size", 8192), json.Size("num_hidden_layers", 24), heads, groups,
            json.Size("head_dim", width / heads), json.Real("layer_norm_eps", 1e-5), RopeParameters.Read(json, partialRotaryFactor: 0.5), json.Flag("qk_layernorm", false), json.Flag("tie_word_embeddings", false),
            json.Real("embd_pdrop", 0.0), json.Real("resid_pdrop", 0.0));
    }
}

/// <summary>Phi 1 to 2: attention and mlp side by side behind one norm, rotary positions on a part of each head, biases.</summary>
/// <remarks>transformers/models/phi/modeling_phi.py; Gunasekar et al., Textbooks Are All You Need, 2023</remarks>
[Architecture("PhiForCausalLM", ModelType = "phi")]
public sealed partial class PhiForCausalLM : CausalLM
{
    private readonly PhiModel _model;
    private readonly Linear _lmHead;

    public PhiForCausalLM(ConfigReader json)
    {
        PhiConfig config = PhiConfig.Read(json);
        Config = new CausalLMConfig(config.Vocabulary, config.Positions, config.Layers);
        _model = Child("model", new PhiModel(config, json));
        _lmHead = Child("lm_head", new Linear(config.Width, config.Vocabulary, bias: true, config.Tied ? _model.Embeddings : null));
    }

    public override StandardNames Names => new()
    {
        Embed = "model.embed_tokens", Layers = "model.layers", FinalNorm = "model.final_layernorm", LmHead = "lm_head",
        Attention = "self_attn", Mlp = "mlp",
    };

    public override CausalLMConfig Config { get; }

    public override string BaseModelPrefix => "model";

    /// <summary>The frequencies that checkpoints before transformers 4.32 carry in every layer.</summary>
    public override bool ShouldIgnore(string tensorName) => tensorName.EndsWith("rotary_emb.inv_freq", StringComparison.Ordinal);

    protected override ModelOutput Forward(
        Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, int logitsToKeep)
    {
        ModelOutput output = _model.Call(inputIds, attentionMask, positionIds, cache);
        var hidden = (Tensor)output["last_hidden_state"]!;              // [batch, seq, hidden]
        Tensor logits = _lmHead.Call(Kept(hidden, logitsToKeep));       // [batch, seq kept, vocab]
        return new ModelOutput(new("logits", logits), new("past_key_values", output["past_key_values"]));
    }
}

public sealed partial class PhiModel : SiteModule
{
    private readonly Embedding _embedTokens;
    private readonly ModuleList<PhiDecoderLayer> _layers;
    private readonly RotaryEmbedding _rotaryEmb;
    private readonly Dropout _embedDropout;
    private readonly LayerNorm _finalLayernorm;

    internal PhiModel(PhiConfig config, ConfigReader json)
    {
        _embedTokens = Child("embed_tokens", new Embedding(config.Vocabulary, config.Width));
        _layers = Child("layers", new ModuleList<PhiDecoderLayer>(config.Layers, layer => new PhiDecoderLayer(config, json, layer)));
        int rotated = (int)(config.HeadWidth * config.Rope.PartialRotaryFactor);
        _rotaryEmb = Child("rotary_emb", new RotaryEmbedding("PhiRotaryEmbedding", new(json, config.Rope, rotated)));
        _embedDropout = Child("embed_dropout", new Dropout(config.EmbeddingDropout));
        _finalLayernorm = Child("final_layernorm", new LayerNorm(config.Width, config.Epsilon));
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
        hidden = _embedDropout.Call(hidden);                                                        // [batch, seq, hidden]
        object?[] positions = _rotaryEmb.Call(hidden, positionIds);                                 // 2 x [batch, seq, rotaryDim]
        for (int layer = 0; layer < _layers.Count; layer++)
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positionIds, cache, positions)[0]!;  // [batch, seq, hidden]
        hidden = _finalLayernorm.Call(hidden);                                                      // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

public sealed partial class PhiDecoderLayer : SiteModule
{
    private readonly PhiAttention _selfAttn;
    private readonly PhiMLP _mlp;
    private readonly LayerNorm _inputLayernorm;
    private readonly Dropout _residDropout;

    internal PhiDecoderLayer(PhiConfig config, ConfigReader json, int layer)
    {
        _selfAttn = Child("self_attn", new PhiAttention(config, layer));
        _mlp = Child("mlp", new PhiMLP(config, json));
        _inputLayernorm = Child("input_layernorm", new LayerNorm(config.Width, config.Epsilon));
        _residDropout = Child("resid_dropout", new Dropout(config.ResidualDropout));
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
        attended = _residDropout.Call(attended);
        Tensor thought = _residDropout.Call(_mlp.Call(normal));                                     // [batch, seq, hidden]
        Tensor output = attended + thought + hidden;                                                // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

public sealed partial class PhiAttention : SiteModule
{
    private readonly int _layer, _heads, _kvHeads, _headDim;
    private readonly double _scale;
    private readonly Linear _qProj, _kProj, _vProj, _dense;
    private readonly LayerNorm? _qLayernorm, _kLayernorm;
    private readonly FusedAttention? _fusedAttention;

    internal PhiAttention(PhiConfig config, int layer)
    {
        (_layer, _heads, _kvHeads, _headDim) = (layer, config.Heads, config.Groups, config.HeadWidth);
        _scale = 1 / Math.Sqrt(_headDim);
        _qProj = Child("q_proj", new Linear(config.Width, _heads * _headDim));
        _kProj = Child("k_proj", new Linear(config.Width, _kvHeads * _headDim));
        _vProj = Child("v_proj", new Linear(config.Width, _kvHeads * _headDim));
        _dense = Child("dense", new Linear(_heads * _headDim, config.Width));
        if (!config.NormalizeHeads)
        {
            _fusedAttention = new FusedAttention(this, layer, _heads, _kvHeads, _headDim, _scale) { Projections = [_qProj, _kProj, _vProj], OutputProjection = _dense };
            return;
        }
        _qLayernorm = Child("q_layernorm", new LayerNorm(_headDim, config.Epsilon, axes: new Axes(0, 2)));
        _kLayernorm = Child("k_layernorm", new LayerNorm(_headDim, config.Epsilon, axes: new Axes(0, 2)));
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
        if (_qLayernorm is not null) query = _qLayernorm.Call(query);
        if (_kLayernorm is not null) key = _kLayernorm.Call(key);
        query = PartialRotary.Rotate(query, positionEmbeddings);
        key = PartialRotary.Rotate(key, positionEmbeddings);
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scale);
        Tensor output = _dense.Call(mixed.flatten(2));                                          // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}

public sealed partial class PhiMLP : TensorModule
{
    private readonly FusedMlp _fusedMlp;
    private readonly Activation _activationFn;
    private readonly Linear _fc1, _fc2;

    internal PhiMLP(PhiConfig config, ConfigReader json)
    {
        _activationFn = Child("activation_fn", Activation.Read(json, "hidden_act", "gelu_new"));
        _fc1 = Child("fc1", new Linear(config.Width, config.Inner));
        _fc2 = Child("fc2", new Linear(config.Inner, config.Width));
        _fusedMlp = new FusedMlp(this, null, _fc1, _fc2, _activationFn.Kind);
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_fusedMlp.TryForward(input) is { } quick) return quick;
        using var scope = NewDisposeScope();
        Tensor inner = _activationFn.Call(_fc1.Call(input));                            // [batch, seq, intermediate]
        return _fc2.Call(inner).MoveToOuterDisposeScope();                              // [batch, seq, hidden]
    }
}
