using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Falcon.</summary>
/// <param name="NumKvHeads">Key and value heads; each serves Heads / Groups query heads.</param>
/// <param name="Alibi">No rotary positions, but slopes on the scores.</param>
/// <param name="Parallel">Attention and mlp both read the block's input.</param>
/// <param name="TwoNorms">Attention and mlp run in parallel, each with its own norm.</param>
/// <remarks>transformers/models/falcon/configuration_falcon.py</remarks>
public sealed record FalconConfig(
    int VocabSize, int MaxPositions, int HiddenSize, int NumLayers, int NumHeads, int NumKvHeads, int IntermediateSize,
    double NormEps, RopeParameters RopeParameters, bool Alibi, bool Parallel, bool TwoNorms, bool Bias, bool TieWordEmbeddings,
    double AttentionDropout)
{
    public int HeadDim => HiddenSize / NumHeads;

    public static FalconConfig Read(ConfigReader json)
    {
        // the oldest files on the hub have the other name
        int hiddenSize = json.Has("n_embed") ? json.Size("n_embed") : json.Size("hidden_size", 4544);
        int numHeads = json.Size("num_attention_heads", 71);
        if (hiddenSize % numHeads != 0)
            throw json.InvalidValue("hidden_size", $"must be a multiple of num_attention_heads, {numHeads}", $"{hiddenSize}");
        bool grouped = json.Flag("new_decoder_architecture", false);
        int kvHeads = grouped ? json.Size("num_kv_heads", numHeads) : json.Flag("multi_query", true) ? 1 : numHeads;
        if (numHeads % kvHeads != 0) throw json.InvalidValue("num_kv_heads", $"must divide num_attention_heads, {numHeads}", $"{kvHeads}");
        return new FalconConfig(json.Size("vocab_size", 65024), json.Size("max_position_embeddings", 2048), hiddenSize,
            json.Size("num_hidden_layers", 32), numHeads, kvHeads, json.Size("ffn_hidden_size", 4 * hiddenSize),
            json.Real("layer_norm_epsilon", 1e-5), RopeParameters.Read(json), json.Flag("alibi", false),
            grouped || json.Flag("parallel_attn", true),
            grouped && json.Integer("num_ln_in_parallel_attn", 2) == 2, json.Flag("bias", false), json.Flag("tie_word_embeddings", true),
            json.Real("attention_dropout", 0.0));
    }
}

/// <summary>Falcon: attention and mlp side by side, rotary positions, one key and value head or a few.</summary>
/// <remarks>transformers/models/falcon/modeling_falcon.py; Almazrouei et al., 2023</remarks>
[Architecture("FalconForCausalLM", ModelType = "falcon")]
public sealed class FalconForCausalLM : DecoderForCausalLM
{
    public FalconForCausalLM(ConfigReader json) : this(FalconConfig.Read(json), json) { }

    private FalconForCausalLM(FalconConfig config, ConfigReader json) : base(
        new PreTrainedConfig(config.VocabSize, config.MaxPositions, config.NumLayers),
        new StandardNames
        {
            Embed = "transformer.word_embeddings", Layers = "transformer.h", FinalNorm = "transformer.ln_f", LmHead = "lm_head",
            Attention = "self_attention", Mlp = "mlp",
        },
        new FalconModel(config, json), config.HiddenSize, config.TieWordEmbeddings) { }

    internal override string TokenClassifierName => "classifier";
}

public sealed partial class FalconModel : BaseModel
{
    private readonly Embedding _wordEmbeddings;
    private readonly ModuleList<FalconDecoderLayer> _h;
    private readonly LayerNorm _lnF;
    private readonly RotaryEmbedding _rotaryEmb;
    private readonly float[]? _slopes; // the slopes of ALiBi

    internal FalconModel(FalconConfig config, ConfigReader json)
    {
        if (config.Alibi) _slopes = Layers.Alibi.Slopes(config.NumHeads);
        _wordEmbeddings = Child("word_embeddings", new Embedding(config.VocabSize, config.HiddenSize));
        _h = Child("h", new ModuleList<FalconDecoderLayer>(config.NumLayers, layer => new FalconDecoderLayer(config, json, layer)));
        _lnF = Child("ln_f", new LayerNorm(config.HiddenSize, config.NormEps));
        _rotaryEmb = Child("rotary_emb", new RotaryEmbedding("FalconRotaryEmbedding", new(json, config.RopeParameters, config.HeadDim)));
    }

    internal override Parameter Embeddings => _wordEmbeddings.Table;

    public override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([inputIds],
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
        Tensor hidden = _wordEmbeddings.Call(inputIds);                                             // [batch, seq, hidden]
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype);          // [batch, 1, seq, kvSeq]
        Tensor? alibi = _slopes is null ? null : Alibi(attentionMask, hidden);                      // [batch, heads, 1, kvSeq]
        object?[] positions = _rotaryEmb.Call(hidden, positionIds);                                 // 2 x [batch, seq, headDim]
        for (int layer = 0; layer < _h.Count; layer++)
            hidden = (Tensor)_h[layer].Call(hidden, alibi, mask, positionIds, cache, positions)[0]!; // [batch, seq, hidden]
        hidden = _lnF.Call(hidden);                                                                 // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }

    /// <summary>The argument where there is one.</summary>
    internal static KeyValuePair<string, object?>[] Named(Tensor? alibi) => alibi is null ? [] : [new("alibi", alibi)];

    /// <summary>The ALiBi bias of each key: its position times the slope of the head, in bfloat16 for any dtype.</summary>
    /// <param name="attentionMask">[batch, kvSeq]</param>
    /// <returns>[batch, heads, 1, kvSeq]</returns>
    private Tensor Alibi(Tensor attentionMask, Tensor hidden)
    {
        Tensor slopes = tensor(_slopes!, device: attentionMask.device).view(1, -1, 1, 1);           // [1, heads, 1, 1]
        Tensor positions = (attentionMask.cumsum(-1) - 1) * attentionMask;                          // [batch, kvSeq]
        return (slopes.to(ScalarType.BFloat16) * positions.unsqueeze(1).unsqueeze(1)).to(hidden.dtype);
    }
}

public sealed partial class FalconDecoderLayer : SiteModule
{
    private readonly bool _parallel;
    private readonly FalconAttention _selfAttention;
    private readonly Mlp _mlp;
    private readonly LayerNorm _attentionNorm; // input_layernorm, or ln_attn
    private readonly LayerNorm? _mlpNorm;      // post_attention_layernorm, or ln_mlp, or none

    internal FalconDecoderLayer(FalconConfig config, ConfigReader json, int layer)
    {
        _parallel = config.Parallel;
        _selfAttention = Child("self_attention", new FalconAttention(config, layer));
        _mlp = Child("mlp", new Mlp("FalconMLP",
            ("dense_h_to_4h", new Linear(config.HiddenSize, config.IntermediateSize, config.Bias, className: "FalconLinear")),
            ("act", Activation.Read(json, "activation", "gelu")),
            ("dense_4h_to_h", new Linear(config.IntermediateSize, config.HiddenSize, config.Bias, className: "FalconLinear"))));
        if (!config.Parallel) _mlpNorm = Norm("post_attention_layernorm");
        _attentionNorm = Norm(config.TwoNorms ? "ln_attn" : "input_layernorm");
        if (config.TwoNorms) _mlpNorm = Norm("ln_mlp");

        LayerNorm Norm(string name) => Child(name, new LayerNorm(config.HiddenSize, config.NormEps));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = _parallel
        ? Layouts.Parallel("self_attention", "mlp") : Layouts.Sequential("self_attention", "mlp");

    public override Axes InputAxes(string argument) => argument switch
    {
        "attention_mask" => Axes.Attention,
        "alibi" => new Axes(0, Axes.None, 3),
        _ => Axes.Hidden,
    };

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(
        Tensor hidden, Tensor? alibi, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings) =>
        Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [
                new("attention_mask", mask), new("position_ids", positionIds), new("layer_past", cache),
                new("use_cache", cache is not null), new("position_embeddings", positionEmbeddings), .. FalconModel.Named(alibi),
            ]))
            : Forward(hidden, alibi, mask, positionIds, cache, positionEmbeddings);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "alibi") as Tensor,
        arguments.Tensor(2, "attention_mask"),
        arguments.Tensor(3, "position_ids"),
        arguments.Get(4, "layer_past") as KeyValueCache,
        arguments.Tuple(7, "position_embeddings"));

    private object?[] Forward(
        Tensor hidden, Tensor? alibi, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _attentionNorm.Call(hidden);                                                    // [batch, seq, hidden]
        Tensor? early = _parallel ? _mlpNorm?.Call(hidden) ?? normal : null;                            // [batch, seq, hidden]
        var attended = (Tensor)_selfAttention.Call(normal, alibi, mask, positionIds, cache, positionEmbeddings)[0]!; // [batch, seq, hidden]
        Tensor middle = attended + hidden;                                                              // [batch, seq, hidden]
        Tensor output = _mlp.Call(early ?? _mlpNorm!.Call(middle)) + middle;                            // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

public sealed partial class FalconAttention : SiteModule
{
    private readonly int _layer, _heads, _kvHeads, _headDim;
    private readonly double _scale;
    private readonly Linear _queryKeyValue, _dense;
    private readonly Dropout _attentionDropout;
    private readonly FusedAttention _fusedAttention;

    internal FalconAttention(FalconConfig config, int layer)
    {
        (_layer, _heads, _kvHeads, _headDim) = (layer, config.NumHeads, config.NumKvHeads, config.HeadDim);
        _scale = 1 / Math.Sqrt(_headDim);
        int outputs = (_heads + 2 * _kvHeads) * _headDim;
        _queryKeyValue = Child("query_key_value", new Linear(config.HiddenSize, outputs, config.Bias, className: "FalconLinear"));
        _dense = Child("dense", new Linear(config.HiddenSize, config.HiddenSize, config.Bias, className: "FalconLinear"));
        _attentionDropout = Child("attention_dropout", new Dropout(config.AttentionDropout, Axes.Attention)); // called only with alibi
        _fusedAttention = new FusedAttention(this, layer, _heads, _kvHeads, _headDim, _scale)
        {
            Projections = [_queryKeyValue], OutputProjection = _dense, Layout = QkvLayout.InterleavedPerKvHead(_heads, _kvHeads, _headDim),
        };
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = Layouts.PerKvHead(_heads, _kvHeads, _headDim, "query_key_value", "dense");

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    public override Axes InputAxes(string argument) => argument switch
    {
        "attention_mask" => Axes.Attention,
        "alibi" => new Axes(0, Axes.None, 3),
        _ => Axes.Hidden,
    };

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(
        Tensor hidden, Tensor? alibi, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings) =>
        Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [
                new("layer_past", cache), new("attention_mask", mask), new("position_ids", positionIds),
                new("use_cache", cache is not null), new("position_embeddings", positionEmbeddings), .. FalconModel.Named(alibi),
            ]))
            : Forward(hidden, alibi, mask, cache, positionEmbeddings);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "alibi") as Tensor,
        arguments.Tensor(2, "attention_mask"),
        arguments.Get(4, "layer_past") as KeyValueCache,
        arguments.Tuple(7, "position_embeddings"));

    private object?[] Forward(Tensor hidden, Tensor? alibi, Tensor mask, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        if (alibi is null && _fusedAttention.TryForward(hidden, cache, mask, positionEmbeddings) is { } fused) return fused;
        using var scope = NewDisposeScope();
        var (query, key, value) = Split(_queryKeyValue.Call(hidden));
        if (alibi is null)
        {
            query = RotaryEmbedding.Rotate(query, positionEmbeddings);
            key = RotaryEmbedding.Rotate(key, positionEmbeddings);
        }
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        var (mixed, probabilities) = Attend(query, key, value, alibi, mask);
        Tensor output = _dense.Call(mixed.flatten(2));                                          // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }

    /// <summary>Attention written out, as <see cref="EagerAttention.Forward"/>; ALiBi's slopes are scaled too.</summary>
    /// <param name="query">[batch, heads, seq, headDim]</param>
    /// <param name="key">[batch, kvHeads, kvSeq, headDim]</param>
    /// <param name="value">[batch, kvHeads, kvSeq, headDim]</param>
    /// <param name="alibi">[batch, heads, 1, kvSeq], or null where positions rotate</param>
    /// <param name="mask">[batch, 1, seq, kvSeq]</param>
    /// <returns>The output [batch, seq, heads, headDim] and the probabilities [batch, heads, seq, kvSeq].</returns>
    [Operation("attention_interface")]
    private (Tensor Output, Tensor Probabilities) Attend(Tensor query, Tensor key, Tensor value, Tensor? alibi, Tensor mask)
    {
        (query, key, value) = (SourceLabel.Of("q", query), SourceLabel.Of("k", key), SourceLabel.Of("v", value));
        Tensor scores = EagerAttention.Scores(query, key) * _scale + mask;                      // [batch, heads, seq, kvSeq]
        if (alibi is not null) scores = scores + alibi * _scale;
        scores = SourceLabel.Of("scores", scores);
        Tensor probabilities = nn.functional.softmax(scores, -1, ScalarType.Float32).to(query.dtype); // [batch, heads, seq, kvSeq]
        if (alibi is not null) probabilities = _attentionDropout.Call(probabilities);
        probabilities = SourceLabel.Of("probs", probabilities);
        Tensor output = EagerAttention.Mix(probabilities, value).transpose(1, 2).contiguous();  // [batch, seq, heads, headDim]
        return (output, probabilities);
    }

    /// <summary>Each group's queries, then its key, then its value. One group is the layout of a single key and value head, and a group
    /// for each head that of the oldest checkpoints.</summary>
    /// <param name="mixture">[batch, seq, (heads + 2 kvHeads) · headDim]</param>
    /// <returns>Queries [batch, heads, seq, headDim]; keys and values [batch, kvHeads, seq, headDim].</returns>
    private (Tensor Query, Tensor Key, Tensor Value) Split(Tensor mixture)
    {
        long share = _heads / _kvHeads;
        // [batch, seq, kvHeads, share + 2, headDim]
        Tensor parts = mixture.view(mixture.size(0), mixture.size(1), _kvHeads, share + 2, _headDim);
        Tensor query = parts.narrow(3, 0, share).flatten(2, 3);                                 // [batch, seq, heads, headDim]
        Tensor key = parts.select(3, share), value = parts.select(3, share + 1);                // [batch, seq, kvHeads, headDim]
        return (query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2));
    }
}
