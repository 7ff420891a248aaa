using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>What config.json says of a Falcon.</summary>
/// <param name="Groups">Key and value heads; each serves Heads / Groups query heads.</param>
/// <param name="Alibi">No rotary positions, but slopes on the scores.</param>
/// <param name="Parallel">Attention and mlp both read the block's input.</param>
/// <param name="TwoNorms">In parallel, each with a norm of its own.</param>
/// <remarks>transformers/models/falcon/configuration_falcon.py</remarks>
public sealed record FalconConfig(int Vocabulary, int Positions, int Width, int Layers, int Heads, int Groups, int Inner, double Epsilon,
    RopeParameters Rope, bool Alibi, bool Parallel, bool TwoNorms, bool Bias, bool Tied, double AttentionDropout)
{
    public int HeadWidth => Width / Heads;

    public static FalconConfig Read(ConfigReader json)
    {
        // the oldest files on the hub have the other name
        int width = json.Has("n_embed") ? json.Size("n_embed") : json.Size("hidden_size", 4544), heads = json.Size("num_attention_heads", 71);
        if (width % heads != 0) throw json.Bad("hidden_size", $"must be a multiple of num_attention_heads, {heads}", $"{width}");
        bool grouped = json.Flag("new_decoder_architecture", false);
        int groups = grouped ? json.Size("num_kv_heads", heads) : json.Flag("multi_query", true) ? 1 : heads;
        if (heads % groups != 0) throw json.Bad("num_kv_heads", $"must divide num_attention_heads, {heads}", $"{groups}");
        return new FalconConfig(json.Size("vocab_size", 65024), json.Size("max_position_embeddings", 2048), width,
            json.Size("num_hidden_layers", 32), heads, groups, json.Size("ffn_hidden_size", 4 * width),
            json.Real("layer_norm_epsilon", 1e-5), RopeParameters.Read(json), json.Flag("alibi", false), grouped || json.Flag("parallel_attn", true),
            grouped && json.Integer("num_ln_in_parallel_attn", 2) == 2, json.Flag("bias", false), json.Flag("tie_word_embeddings", true),
            json.Real("attention_dropout", 0.0));
    }
}

/// <summary>Falcon: attention and mlp side by side, rotary positions, one key and value head or a few.</summary>
/// <remarks>transformers/models/falcon/modeling_falcon.py; Almazrouei et al., 2023</remarks>
[Architecture("FalconForCausalLM", ModelType = "falcon")]
public sealed partial class FalconForCausalLM : CausalLM
{
    private readonly FalconModel _transformer;
    private readonly Linear _lmHead;

    public FalconForCausalLM(ConfigReader json)
    {
        FalconConfig config = FalconConfig.Read(json);
        Config = new CausalLMConfig(config.Vocabulary, config.Positions, config.Layers);
        _transformer = Child("transformer", new FalconModel(config, json));
        _lmHead = Child("lm_head", new Linear(config.Width, config.Vocabulary, bias: false, config.Tied ? _transformer.Embeddings : null));
    }

    public override StandardNames Names => new()
    {
        Embed = "transformer.word_embeddings", Layers = "transformer.h", FinalNorm = "transformer.ln_f", LmHead = "lm_head",
        Attention = "self_attention", Mlp = "mlp",
    };

    public override CausalLMConfig Config { get; }

    public override string BaseName => "transformer";

    protected override ModelOutput Forward(
        Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, int logitsToKeep)
    {
        ModelOutput output = _transformer.Call(inputIds, cache, attentionMask, positionIds);
        var hidden = (Tensor)output["last_hidden_state"]!;              // [rows, tokens, width]
        Tensor logits = _lmHead.Call(Kept(hidden, logitsToKeep));       // [rows, tokens kept, vocabulary]
        return new ModelOutput(new("logits", logits), new("past_key_values", output["past_key_values"]));
    }
}

public sealed partial class FalconModel : SiteModule
{
    private readonly Embedding _wordEmbeddings;
    private readonly ModuleList<FalconDecoderLayer> _h;
    private readonly LayerNorm _lnF;
    private readonly RotaryEmbedding _rotaryEmb;
    private readonly float[]? _slopes; // of ALiBi

    internal FalconModel(FalconConfig config, ConfigReader json)
    {
        if (config.Alibi) _slopes = Layers.Alibi.Slopes(config.Heads);
        _wordEmbeddings = Child("word_embeddings", new Embedding(config.Vocabulary, config.Width));
        _h = Child("h", new ModuleList<FalconDecoderLayer>(config.Layers, layer => new FalconDecoderLayer(config, json, layer)));
        _lnF = Child("ln_f", new LayerNorm(config.Width, config.Epsilon));
        _rotaryEmb = Child("rotary_emb", new RotaryEmbedding("FalconRotaryEmbedding", new(json, config.Rope, config.HeadWidth)));
    }

    /// <summary>[vocabulary, width]</summary>
    internal Parameter Embeddings => _wordEmbeddings.Table;

    public override Axes InputAxes(string argument) => argument == "attention_mask" ? new Axes(0, Axes.None, 1) : Axes.Hidden;

    public ModelOutput Call(Tensor inputIds, KeyValueCache? cache, Tensor attentionMask, Tensor positionIds) => Observer is { } observer
        ? Observed<ModelOutput>(observer, new Arguments([inputIds],
        [
            new("past_key_values", cache), new("attention_mask", attentionMask), new("position_ids", positionIds),
            new("use_cache", cache is not null),
        ]))
        : Forward(inputIds, cache, attentionMask, positionIds);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Get(1, "past_key_values") as KeyValueCache,
        arguments.Tensor(2, "attention_mask"),
        arguments.Tensor(3, "position_ids"));

    private ModelOutput Forward(Tensor inputIds, KeyValueCache? cache, Tensor attentionMask, Tensor positionIds)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = _wordEmbeddings.Call(inputIds);                                             // [rows, tokens, width]
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype);          // [rows, 1, tokens, keys]
        Tensor? alibi = _slopes is null ? null : Alibi(attentionMask, hidden);                      // [rows, heads, 1, keys]
        object?[] positions = _rotaryEmb.Call(hidden, positionIds);                                 // 2 x [rows, tokens, head width]
        for (int layer = 0; layer < _h.Count; layer++)
            hidden = (Tensor)_h[layer].Call(hidden, alibi, mask, positionIds, cache, positions)[0]!; // [rows, tokens, width]
        hidden = _lnF.Call(hidden);                                                                 // [rows, tokens, width]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }

    /// <summary>The argument where there is one.</summary>
    internal static KeyValuePair<string, object?>[] Named(Tensor? alibi) => alibi is null ? [] : [new("alibi", alibi)];

    /// <summary>What is added to each key's scores: its position times the head's slope, in bfloat16 whatever the dtype.</summary>
    /// <param name="attentionMask">[rows, keys]</param>
    /// <returns>[rows, heads, 1, keys]</returns>
    private Tensor Alibi(Tensor attentionMask, Tensor hidden)
    {
        Tensor slopes = tensor(_slopes!, device: attentionMask.device).view(1, -1, 1, 1);           // [1, heads, 1, 1]
        Tensor positions = (attentionMask.cumsum(-1) - 1) * attentionMask;                          // [rows, keys]
        return (slopes.to(ScalarType.BFloat16) * positions.unsqueeze(1).unsqueeze(1)).to(hidden.dtype);
    }
}

public sealed partial class FalconDecoderLayer : SiteModule
{
    private readonly bool _parallel;
    private readonly FalconAttention _selfAttention;
    private readonly FalconMLP _mlp;
    private readonly LayerNorm _attentionNorm; // input_layernorm, or ln_attn
    private readonly LayerNorm? _mlpNorm;      // post_attention_layernorm, or ln_mlp, or none

    internal FalconDecoderLayer(FalconConfig config, ConfigReader json, int layer)
    {
        _parallel = config.Parallel;
        _selfAttention = Child("self_attention", new FalconAttention(config, layer));
        _mlp = Child("mlp", new FalconMLP(config, json));
        if (!config.Parallel) _mlpNorm = Norm("post_attention_layernorm");
        _attentionNorm = Norm(config.TwoNorms ? "ln_attn" : "input_layernorm");
        if (config.TwoNorms) _mlpNorm = Norm("ln_mlp");

        LayerNorm Norm(string name) => Child(name, new LayerNorm(config.Width, config.Epsilon));
    }

    public override Axes InputAxes(string argument) => argument switch
    {
        "attention_mask" => Axes.Attention,
        "alibi" => new Axes(0, Axes.None, 3),
        _ => Axes.Hidden,
    };

    /// <returns>A tuple: hidden [rows, tokens, width].</returns>
    public object?[] Call(Tensor hidden, Tensor? alibi, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positions) =>
        Observer is { } observer
            ? Observed<object?[]>(observer, new Arguments([hidden],
            [
                new("attention_mask", mask), new("position_ids", positionIds), new("layer_past", cache),
                new("use_cache", cache is not null), new("position_embeddings", positions), .. FalconModel.Named(alibi),
            ]))
            : Forward(hidden, alibi, mask, positionIds, cache, positions);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "alibi") as Tensor,
        arguments.Tensor(2, "attention_mask"),
        arguments.Tensor(3, "position_ids"),
        arguments.Get(4, "layer_past") as KeyValueCache,
        arguments.Tuple(7, "position_embeddings"));

    private object?[] Forward(Tensor hidden, Tensor? alibi, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positions)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _attentionNorm.Call(hidden);                                                    // [rows, tokens, width]
        Tensor? early = _parallel ? _mlpNorm?.Call(hidden) ?? normal : null;                            // [rows, tokens, width]
        var attended = (Tensor)_selfAttention.Call(normal, alibi, mask, positionIds, cache, positions)[0]!; // [rows, tokens, width]
        Tensor middle = attended + hidden;                                                              // [rows, tokens, width]
        Tensor output = _mlp.Call(early ?? _mlpNorm!.Call(middle)) + middle;                            // [rows, tokens, width]
        return [output.MoveToOuterDisposeScope()];
    }
}

public sealed partial class FalconAttention : SiteModule
{
    private readonly int _layer, _heads, _groups, _width;
    private readonly double _scale;
    private readonly Linear _queryKeyValue, _dense;
    private readonly Dropout _attentionDropout;
    private readonly FusedAttention _quick;

    internal FalconAttention(FalconConfig config, int layer)
    {
        (_layer, _heads, _groups, _width) = (layer, config.Heads, config.Groups, config.HeadWidth);
        _scale = 1 / Math.Sqrt(_width);
        int outputs = (_heads + 2 * _groups) * _width;
        _queryKeyValue = Child("query_key_value", new Linear(config.Width, outputs, config.Bias, className: "FalconLinear"));
        _dense = Child("dense", new Linear(config.Width, config.Width, config.Bias, className: "FalconLinear"));
        _attentionDropout = Child("attention_dropout", new Dropout(config.AttentionDropout, Axes.Attention)); // called only with alibi
        _quick = new FusedAttention(this, layer, _heads, _groups, _width, _scale) { Projections = [_queryKeyValue], Output = _dense, Places = HeadPlaces.Grouped(_heads, _groups, _width) };
    }

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    public override Axes InputAxes(string argument) => argument switch
    {
        "attention_mask" => Axes.Attention,
        "alibi" => new Axes(0, Axes.None, 3),
        _ => Axes.Hidden,
    };

    /// <returns>A tuple: output [rows, tokens, width], probabilities [rows, heads, tokens, keys].</returns>
    public object?[] Call(Tensor hidden, Tensor? alibi, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positions) =>
        Observer is { } observer
            ? Observed<object?[]>(observer, new Arguments([hidden],
            [
                new("layer_past", cache), new("attention_mask", mask), new("position_ids", positionIds),
                new("use_cache", cache is not null), new("position_embeddings", positions), .. FalconModel.Named(alibi),
            ]))
            : Forward(hidden, alibi, mask, cache, positions);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "alibi") as Tensor,
        arguments.Tensor(2, "attention_mask"),
        arguments.Get(4, "layer_past") as KeyValueCache,
        arguments.Tuple(7, "position_embeddings"));

    private object?[] Forward(Tensor hidden, Tensor? alibi, Tensor mask, KeyValueCache? cache, object?[] positions)
    {
        if (alibi is null && _quick.Run(hidden, cache, mask, positions) is { } quick) return quick;
        using var scope = NewDisposeScope();
        var (query, key, value) = Split(_queryKeyValue.Call(hidden));
        if (alibi is null)
        {
            query = RotaryEmbedding.Rotate(query, positions);
            key = RotaryEmbedding.Rotate(key, positions);
        }
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        var (mixed, probabilities) = Attend(query, key, value, alibi, mask);
        Tensor output = _dense.Call(mixed.flatten(2));                                          // [rows, tokens, width]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }

    /// <summary>Attention written out, as <see cref="EagerAttention.Forward"/>; ALiBi's slopes are scaled too.</summary>
    /// <param name="query">[rows, heads, tokens, width]</param>
    /// <param name="key">[rows, groups, keys, width]</param>
    /// <param name="value">[rows, groups, keys, width]</param>
    /// <param name="alibi">[rows, heads, 1, keys], or null where positions rotate</param>
    /// <param name="mask">[rows, 1, tokens, keys]</param>
    /// <returns>The output [rows, tokens, heads, width] and the probabilities [rows, heads, tokens, keys].</returns>
    [Operation("attention_interface")]
    private (Tensor Output, Tensor Probabilities) Attend(Tensor query, Tensor key, Tensor value, Tensor? alibi, Tensor mask)
    {
        (query, key, value) = (SourceLabel.Of("q", query), SourceLabel.Of("k", key), SourceLabel.Of("v", value));
        Tensor scores = EagerAttention.Scores(query, key) * _scale + mask;                      // [rows, heads, tokens, keys]
        if (alibi is not null) scores = scores + alibi * _scale;
        scores = SourceLabel.Of("scores", scores);
        Tensor probabilities = nn.functional.softmax(scores, -1, ScalarType.Float32).to(query.dtype); // [rows, heads, tokens, keys]
        if (alibi is not null) probabilities = _attentionDropout.Call(probabilities);
        probabilities = SourceLabel.Of("probs", probabilities);
        Tensor output = EagerAttention.Mix(probabilities, value).transpose(1, 2).contiguous();  // [rows, tokens, heads, width]
        return (output, probabilities);
    }

    /// <summary>Each group's queries, then its key, then its value. One group is the layout of a single key and value head, and a group
    /// for each head that of the oldest checkpoints.</summary>
    /// <param name="mixture">[rows, tokens, (heads + 2 groups) · head width]</param>
    /// <returns>Queries [rows, heads, tokens, head width]; keys and values [rows, groups, tokens, head width].</returns>
    private (Tensor Query, Tensor Key, Tensor Value) Split(Tensor mixture)
    {
        long share = _heads / _groups;
        // [rows, tokens, groups, share + 2, head width]
        Tensor parts = mixture.view(mixture.size(0), mixture.size(1), _groups, share + 2, _width);
        Tensor query = parts.narrow(3, 0, share).flatten(2, 3);                                 // [rows, tokens, heads, head width]
        Tensor key = parts.select(3, share), value = parts.select(3, share + 1);                // [rows, tokens, groups, head width]
        return (query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2));
    }
}

public sealed partial class FalconMLP : TensorModule
{
    private readonly Linear _denseHTo4h, _dense4hToH;
    private readonly FusedMlp _quick;
    private readonly Activation _act;

    internal FalconMLP(FalconConfig config, ConfigReader json)
    {
        _denseHTo4h = Child("dense_h_to_4h", new Linear(config.Width, config.Inner, config.Bias, className: "FalconLinear"));
        _act = Child("act", Activation.Read(json, "activation", "gelu"));
        _dense4hToH = Child("dense_4h_to_h", new Linear(config.Inner, config.Width, config.Bias, className: "FalconLinear"));
        _quick = new FusedMlp(this, null, _denseHTo4h, _dense4hToH, _act.Curve);
    }

    /// <param name="input">[rows, tokens, width]</param>
    /// <returns>[rows, tokens, width]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_quick.Run(input) is { } quick) return quick;
        using var scope = NewDisposeScope();
        Tensor inner = _act.Call(_denseHTo4h.Call(input));                      // [rows, tokens, inner]
        return _dense4hToH.Call(inner).MoveToOuterDisposeScope();               // [rows, tokens, width]
    }
}
