using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a GPT-NeoX.</summary>
/// <param name="Parallel">Attention and mlp both read the block's input; otherwise the mlp reads what attention made of it.</param>
/// <remarks>transformers/models/gpt_neox/configuration_gpt_neox.py</remarks>
public sealed record GPTNeoXConfig(
    int VocabSize, int MaxPositions, int HiddenSize, int IntermediateSize, int NumLayers, int NumHeads, double NormEps,
    RopeParameters RopeParameters, bool Parallel, bool AttentionBias, bool TieWordEmbeddings, double HiddenDropout)
{
    public int HeadDim => HiddenSize / NumHeads;

    public static GPTNeoXConfig Read(ConfigReader json)
    {
        int hiddenSize = json.Size("hidden_size", 6144), numHeads = json.Size("num_attention_heads", 64);
        if (hiddenSize % numHeads != 0)
            throw json.InvalidValue("hidden_size", $"must be a multiple of num_attention_heads, {numHeads}", $"{hiddenSize}");
        RopeParameters rope = RopeParameters.Read(json,
            theta: json.Real("rotary_emb_base", 10000), partialRotaryFactor: json.Real("rotary_pct", 0.25));
        return new GPTNeoXConfig(json.Size("vocab_size", 50432), json.Size("max_position_embeddings", 2048), hiddenSize,
            json.Size("intermediate_size", 24576), json.Size("num_hidden_layers", 44), numHeads, json.Real("layer_norm_eps", 1e-5), rope,
            json.Flag("use_parallel_residual", true), json.Flag("attention_bias", true), json.Flag("tie_word_embeddings", false),
            json.Real("hidden_dropout", 0.0));
    }
}

/// <summary>GPT-NeoX and Pythia: rotary positions on a part of each head, attention and mlp side by side.</summary>
/// <remarks>transformers/models/gpt_neox/modeling_gpt_neox.py; Black et al., 2022</remarks>
[Architecture("GPTNeoXForCausalLM", ModelType = "gpt_neox")]
public sealed class GPTNeoXForCausalLM : DecoderForCausalLM
{
    public GPTNeoXForCausalLM(ConfigReader json) : this(GPTNeoXConfig.Read(json), json) { }

    private GPTNeoXForCausalLM(GPTNeoXConfig config, ConfigReader json) : base(
        new PreTrainedConfig(config.VocabSize, config.MaxPositions, config.NumLayers),
        new StandardNames
        {
            Embed = "gpt_neox.embed_in", Layers = "gpt_neox.layers", FinalNorm = "gpt_neox.final_layer_norm", LmHead = "embed_out",
            Attention = "attention", Mlp = "mlp",
        },
        new GPTNeoXModel(config, json), config.HiddenSize, config.TieWordEmbeddings) { }

    /// <summary>The causal masks that older checkpoints carry in every layer, Pythia's among them.</summary>
    protected internal override IReadOnlyList<string> IgnoredSuffixes => [".attention.bias"];

    internal override string TokenClassifierName => "classifier";
}

public sealed partial class GPTNeoXModel : BaseModel
{
    private readonly Embedding _embedIn;
    private readonly Dropout _embDropout;
    private readonly ModuleList<GPTNeoXLayer> _layers;
    private readonly LayerNorm _finalLayerNorm;
    private readonly RotaryEmbedding _rotaryEmb;

    internal GPTNeoXModel(GPTNeoXConfig config, ConfigReader json)
    {
        int rotated = (int)(config.HeadDim * config.RopeParameters.PartialRotaryFactor);
        _embedIn = Child("embed_in", new Embedding(config.VocabSize, config.HiddenSize));
        _embDropout = Child("emb_dropout", new Dropout(config.HiddenDropout));
        _layers = Child("layers", new ModuleList<GPTNeoXLayer>(config.NumLayers, layer => new GPTNeoXLayer(config, json, layer)));
        _finalLayerNorm = Child("final_layer_norm", new LayerNorm(config.HiddenSize, config.NormEps));
        _rotaryEmb = Child("rotary_emb", new RotaryEmbedding("GPTNeoXRotaryEmbedding", new(json, config.RopeParameters, rotated)));
    }

    internal override Parameter Embeddings => _embedIn.Table;

    public override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([inputIds],
        [
            new("attention_mask", attentionMask), new("position_ids", positionIds),
            new("past_key_values", cache), new("use_cache", cache is not null),
        ]))
        : Forward(inputIds, attentionMask, positionIds, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "position_ids"),
        arguments.Get(4, "past_key_values") as KeyValueCache);

    private ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor embedded = _embedIn.Call(inputIds);                                                  // [batch, seq, hidden]
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), embedded.dtype);        // [batch, 1, seq, kvSeq]
        Tensor hidden = _embDropout.Call(embedded);                                                 // [batch, seq, hidden]
        object?[] positions = _rotaryEmb.Call(hidden, positionIds);                                 // 2 x [batch, seq, rotaryDim]
        for (int layer = 0; layer < _layers.Count; layer++)
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positionIds, cache, positions)[0]!;  // [batch, seq, hidden]
        hidden = _finalLayerNorm.Call(hidden);                                                      // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

public sealed partial class GPTNeoXLayer : SiteModule
{
    private readonly bool _parallel;
    private readonly LayerNorm _inputLayernorm, _postAttentionLayernorm;
    private readonly Dropout _postAttentionDropout, _postMlpDropout;
    private readonly GPTNeoXAttention _attention;
    private readonly Mlp _mlp;

    internal GPTNeoXLayer(GPTNeoXConfig config, ConfigReader json, int layer)
    {
        _parallel = config.Parallel;
        _inputLayernorm = Child("input_layernorm", new LayerNorm(config.HiddenSize, config.NormEps));
        _postAttentionLayernorm = Child("post_attention_layernorm", new LayerNorm(config.HiddenSize, config.NormEps));
        _postAttentionDropout = Child("post_attention_dropout", new Dropout(config.HiddenDropout));
        _postMlpDropout = Child("post_mlp_dropout", new Dropout(config.HiddenDropout));
        _attention = Child("attention", new GPTNeoXAttention(config, layer));
        _mlp = Child("mlp", new Mlp("GPTNeoXMLP",
            ("dense_h_to_4h", new Linear(config.HiddenSize, config.IntermediateSize)),
            ("dense_4h_to_h", new Linear(config.IntermediateSize, config.HiddenSize)),
            ("act", Activation.Read(json, "hidden_act", "gelu"))));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = _parallel
        ? Layouts.Parallel("attention", "mlp") : Layouts.Sequential("attention", "mlp");

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings) =>
        Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [
                new("attention_mask", mask), new("position_ids", positionIds), new("layer_past", cache),
                new("use_cache", cache is not null), new("position_embeddings", positionEmbeddings),
            ]))
            : Forward(hidden, mask, positionIds, cache, positionEmbeddings);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "position_ids"),
        arguments.Get(4, "layer_past") as KeyValueCache,
        arguments.Tuple(5, "position_embeddings"));

    private object?[] Forward(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _inputLayernorm.Call(hidden);                                               // [batch, seq, hidden]
        var attended = (Tensor)_attention.Call(normal, mask, positionIds, cache, positionEmbeddings)[0]!;    // [batch, seq, hidden]
        attended = _postAttentionDropout.Call(attended);
        Tensor middle = attended + hidden;                                                          // [batch, seq, hidden]
        Tensor changed = _mlp.Call(_postAttentionLayernorm.Call(_parallel ? hidden : middle));      // [batch, seq, hidden]
        Tensor output = _postMlpDropout.Call(changed) + middle;                                     // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

public sealed partial class GPTNeoXAttention : SiteModule
{
    private readonly int _layer, _heads, _headDim;
    private readonly double _scale;
    private readonly Linear _queryKeyValue, _dense;
    private readonly FusedAttention _fusedAttention;

    internal GPTNeoXAttention(GPTNeoXConfig config, int layer)
    {
        (_layer, _heads, _headDim) = (layer, config.NumHeads, config.HeadDim);
        _scale = 1 / Math.Sqrt(_headDim);
        _queryKeyValue = Child("query_key_value", new Linear(config.HiddenSize, 3 * config.HiddenSize, config.AttentionBias));
        _dense = Child("dense", new Linear(config.HiddenSize, config.HiddenSize, config.AttentionBias));
        _fusedAttention = new FusedAttention(this, layer, _heads, _heads, _headDim, _scale)
        {
            Projections = [_queryKeyValue], OutputProjection = _dense, Layout = QkvLayout.InterleavedPerHead(_heads, _headDim),
        };
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = Layouts.PerKvHead(_heads, _heads, _headDim, "query_key_value", "dense");

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings) =>
        Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [
                new("attention_mask", mask), new("position_ids", positionIds), new("layer_past", cache),
                new("use_cache", cache is not null), new("position_embeddings", positionEmbeddings),
            ]))
            : Forward(hidden, mask, cache, positionEmbeddings);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Get(2, "layer_past") as KeyValueCache,
        arguments.Tuple(3, "position_embeddings"));

    private object?[] Forward(Tensor hidden, Tensor mask, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        if (_fusedAttention.TryForward(hidden, cache, mask, positionEmbeddings) is { } fused) return fused;
        using var scope = NewDisposeScope();
        // each head's query, key and value are adjacent
        Tensor mixture = EagerAttention.SplitHeads(_queryKeyValue.Call(hidden), _heads, 3 * _headDim); // [batch, heads, seq, 3 headDim]
        Tensor[] parts = mixture.chunk(3, -1);                                  // 3 x [batch, heads, seq, headDim]
        Tensor query = PartialRotary.Rotate(parts[0], positionEmbeddings);               // [batch, heads, seq, headDim]
        Tensor key = PartialRotary.Rotate(parts[1], positionEmbeddings);                 // [batch, heads, seq, headDim]
        Tensor value = parts[2];                                                // [batch, heads, seq, headDim]
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scale);
        Tensor output = _dense.Call(mixed.flatten(2));                          // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}
