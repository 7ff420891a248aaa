using Ndif.Models.Config;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a BLOOM.</summary>
/// <param name="NormResidual">The residual is taken after a norm, not before it.</param>
/// <remarks>transformers/models/bloom/configuration_bloom.py</remarks>
public sealed record BloomConfig(
    int VocabSize, int MaxPositions, int HiddenSize, int NumLayers, int NumHeads, double NormEps, bool NormResidual,
    bool TieWordEmbeddings, double AttentionDropout)
{
    public int HeadDim => HiddenSize / NumHeads;

    public static BloomConfig Read(ConfigReader json)
    {
        // checkpoints on the hub have either name
        int hiddenSize = json.Has("n_embed") ? json.Size("n_embed") : json.Size("hidden_size", 64);
        int numHeads = json.Has("num_attention_heads") ? json.Size("num_attention_heads") : json.Size("n_head", 8);
        int numLayers = json.Has("num_hidden_layers") ? json.Size("num_hidden_layers") : json.Size("n_layer", 2);
        if (hiddenSize % numHeads != 0)
            throw json.InvalidValue("hidden_size", $"must be a multiple of n_head, {numHeads}", $"{hiddenSize}");
        return new BloomConfig(json.Size("vocab_size", 250880), json.Size("seq_length", 2048), hiddenSize, numLayers, numHeads,
            json.Real("layer_norm_epsilon", 1e-5), json.Flag("apply_residual_connection_post_layernorm", false),
            json.Flag("tie_word_embeddings", true), json.Real("attention_dropout", 0.0));
    }
}

/// <summary>BLOOM: no position embeddings; each head subtracts from a score in proportion to the distance of the key (ALiBi).</summary>
/// <remarks>transformers/models/bloom/modeling_bloom.py; BigScience Workshop, 2022; Press et al., 2021</remarks>
[Architecture("BloomForCausalLM", ModelType = "bloom")]
public sealed class BloomForCausalLM : DecoderForCausalLM
{
    public BloomForCausalLM(ConfigReader json) : this(BloomConfig.Read(json), json) { }

    private BloomForCausalLM(BloomConfig config, ConfigReader json) : base(
        new PreTrainedConfig(config.VocabSize, config.MaxPositions, config.NumLayers),
        new StandardNames
        {
            Embed = "transformer.word_embeddings", Layers = "transformer.h", FinalNorm = "transformer.ln_f", LmHead = "lm_head",
            Attention = "self_attention", Mlp = "mlp",
        },
        new BloomModel(config), config.HiddenSize, config.TieWordEmbeddings) { }

    internal override string TokenClassifierName => "classifier";
}

public sealed partial class BloomModel : BaseModel
{
    private readonly float[] _slopes;
    private readonly Embedding _wordEmbeddings;
    private readonly LayerNorm _wordEmbeddingsLayernorm, _lnF;
    private readonly ModuleList<BloomBlock> _h;

    internal BloomModel(BloomConfig config)
    {
        _slopes = Layers.Alibi.Slopes(config.NumHeads);
        _wordEmbeddings = Child("word_embeddings", new Embedding(config.VocabSize, config.HiddenSize));
        _wordEmbeddingsLayernorm = Child("word_embeddings_layernorm", new LayerNorm(config.HiddenSize, config.NormEps));
        _h = Child("h", new ModuleList<BloomBlock>(config.NumLayers, layer => new BloomBlock(config, layer)));
        _lnF = Child("ln_f", new LayerNorm(config.HiddenSize, config.NormEps));
    }

    internal override Parameter Embeddings => _wordEmbeddings.Table;

    public override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([inputIds],
        [
            new("past_key_values", cache), new("attention_mask", attentionMask), new("use_cache", cache is not null),
        ]))
        : Forward(inputIds, cache, attentionMask);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Get(1, "past_key_values") as KeyValueCache,
        arguments.Tensor(2, "attention_mask"));

    private ModelOutput Forward(Tensor inputIds, KeyValueCache? cache, Tensor attentionMask)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = _wordEmbeddingsLayernorm.Call(_wordEmbeddings.Call(inputIds));              // [batch, seq, hidden]
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype);          // [batch, 1, seq, kvSeq]
        Tensor alibi = Alibi(attentionMask).to(hidden.dtype);                                       // [batch, heads, 1, kvSeq]
        for (int layer = 0; layer < _h.Count; layer++)
            hidden = (Tensor)_h[layer].Call(hidden, cache, mask, alibi)[0]!;                        // [batch, seq, hidden]
        hidden = _lnF.Call(hidden);                                                                 // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }

    /// <summary>
    /// What is added to each key's scores: its position times the head's slope. Softmax makes the difference to the token's own
    /// position of it. Hugging Face's has rows and heads in one dimension.
    /// </summary>
    /// <param name="attentionMask">[batch, kvSeq]</param>
    /// <returns>[batch, heads, 1, kvSeq]</returns>
    private Tensor Alibi(Tensor attentionMask)
    {
        Tensor slopes = tensor(_slopes, device: attentionMask.device).view(1, -1, 1, 1);            // [1, heads, 1, 1]
        Tensor positions = (attentionMask.cumsum(-1) - 1) * attentionMask;                          // [batch, kvSeq]
        return slopes * positions.unsqueeze(1).unsqueeze(1).to(ScalarType.Float32);
    }
}

public sealed partial class BloomBlock : SiteModule
{
    private readonly bool _normResidual;
    private readonly LayerNorm _inputLayernorm, _postAttentionLayernorm;
    private readonly BloomAttention _selfAttention;
    private readonly BloomMLP _mlp;

    internal BloomBlock(BloomConfig config, int layer)
    {
        _normResidual = config.NormResidual;
        _inputLayernorm = Child("input_layernorm", new LayerNorm(config.HiddenSize, config.NormEps));
        _selfAttention = Child("self_attention", new BloomAttention(config, layer));
        _postAttentionLayernorm = Child("post_attention_layernorm", new LayerNorm(config.HiddenSize, config.NormEps));
        _mlp = Child("mlp", new BloomMLP(config));
    }

    /// <summary>Attention and mlp add the stream themselves. With norm residual it is the normalized one.</summary>
    protected internal override void DescribeLayout(Protocol.ModuleInfo info)
    {
        info.Residual = Layouts.Normalized("self_attention", "self_attention.dense", "mlp.dense_4h_to_h");
        if (!_normResidual) info.Residual.Kind = Protocol.ResidualKind.Sequential;
    }

    public override Axes InputAxes(string argument) => argument switch
    {
        "attention_mask" => Axes.Attention,
        "alibi" => new Axes(0, Axes.None, 3),
        _ => Axes.Hidden,
    };

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor alibi) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [new("layer_past", cache), new("attention_mask", mask), new("use_cache", cache is not null), new("alibi", alibi)]))
        : Forward(hidden, cache, mask, alibi);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(3, "layer_past") as KeyValueCache,
        arguments.Tensor(2, "attention_mask"),
        arguments.Tensor(1, "alibi"));

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor alibi)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _inputLayernorm.Call(hidden);                                                   // [batch, seq, hidden]
        Tensor residual = _normResidual ? normal : hidden;                                              // [batch, seq, hidden]
        var middle = (Tensor)_selfAttention.Call(normal, residual, cache, mask, alibi)[0]!;             // [batch, seq, hidden]
        normal = _postAttentionLayernorm.Call(middle);                                                  // [batch, seq, hidden]
        Tensor output = _mlp.Call(normal, _normResidual ? normal : middle);                             // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

public sealed partial class BloomAttention : SiteModule
{
    private readonly int _layer, _heads, _headDim;
    private readonly Linear _queryKeyValue, _dense;
    private readonly Dropout _attentionDropout;

    internal BloomAttention(BloomConfig config, int layer)
    {
        (_layer, _heads, _headDim) = (layer, config.NumHeads, config.HeadDim);
        _queryKeyValue = Child("query_key_value", new Linear(config.HiddenSize, 3 * config.HiddenSize));
        _dense = Child("dense", new Linear(config.HiddenSize, config.HiddenSize));
        _attentionDropout = Child("attention_dropout", new Dropout(config.AttentionDropout, Axes.Attention));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = Layouts.PerKvHead(_heads, _heads, _headDim, "query_key_value", "dense");

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    public override Axes InputAxes(string argument) => argument switch
    {
        "attention_mask" => Axes.Attention,
        "alibi" => new Axes(0, Axes.None, 3),
        _ => Axes.Hidden,
    };

    /// <summary>Adds the residual too.</summary>
    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor residual, KeyValueCache? cache, Tensor mask, Tensor alibi) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden, residual],
            [new("layer_past", cache), new("attention_mask", mask), new("alibi", alibi), new("use_cache", cache is not null)]))
        : Forward(hidden, residual, cache, mask, alibi);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "residual"),
        arguments.Get(4, "layer_past") as KeyValueCache,
        arguments.Tensor(3, "attention_mask"),
        arguments.Tensor(2, "alibi"));

    private object?[] Forward(Tensor hidden, Tensor residual, KeyValueCache? cache, Tensor mask, Tensor alibi)
    {
        using var scope = NewDisposeScope();
        // each head's query, key and value are adjacent
        Tensor mixture = EagerAttention.SplitHeads(_queryKeyValue.Call(hidden), _heads, 3 * _headDim); // [batch, heads, seq, 3 headDim]
        Tensor[] parts = mixture.chunk(3, -1);                                                  // 3 x [batch, heads, seq, headDim]
        Tensor query = parts[0], key = parts[1], value = parts[2];                              // [batch, heads, seq or kvSeq, headDim]
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        (query, key, value) = (SourceLabel.Of("q", query), SourceLabel.Of("k", key), SourceLabel.Of("v", value));
        Tensor scores = EagerAttention.Scores(query, key) / Math.Sqrt(_headDim) + alibi + mask;   // [batch, heads, seq, kvSeq]
        scores = SourceLabel.Of("scores", scores);
        Tensor probabilities = nn.functional.softmax(scores, -1, ScalarType.Float32).to(query.dtype); // [batch, heads, seq, kvSeq]
        probabilities = SourceLabel.Of("probs", _attentionDropout.Call(probabilities));
        Tensor mixed = EagerAttention.Mix(probabilities, value).transpose(1, 2).flatten(2);     // [batch, seq, hidden]
        Tensor output = residual + _dense.Call(mixed);                                          // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}

public sealed partial class BloomMLP : SiteModule
{
    private readonly Linear _denseHTo4h, _dense4hToH;
    private readonly BloomGelu _geluImpl;

    internal BloomMLP(BloomConfig config)
    {
        _denseHTo4h = Child("dense_h_to_4h", new Linear(config.HiddenSize, 4 * config.HiddenSize));
        _geluImpl = Child("gelu_impl", new BloomGelu());
        _dense4hToH = Child("dense_4h_to_h", new Linear(4 * config.HiddenSize, config.HiddenSize));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Mlp = Layouts.Mlp("dense_h_to_4h", "dense_4h_to_h");

    public override bool ReturnsTensor => true;

    /// <summary>Adds the residual too.</summary>
    /// <returns>[batch, seq, hidden]</returns>
    public Tensor Call(Tensor hidden, Tensor residual) => Hook is { } observer
        ? CallHooked<Tensor>(observer, new Arguments(hidden, residual))
        : Forward(hidden, residual);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "residual"));

    private Tensor Forward(Tensor hidden, Tensor residual)
    {
        using var scope = NewDisposeScope();
        Tensor intermediate = _geluImpl.Call(_denseHTo4h.Call(hidden));                // [batch, seq, 4 hidden]
        return (residual + _dense4hToH.Call(intermediate)).MoveToOuterDisposeScope();  // [batch, seq, hidden]
    }
}

/// <summary>GELU by tanh, as its formula is written out there.</summary>
public sealed partial class BloomGelu : TensorModule
{
    protected override Tensor Forward(Tensor input) => nn.functional.gelu(input, TorchSharp.Modules.GELU.Approximate.tanh);
}
