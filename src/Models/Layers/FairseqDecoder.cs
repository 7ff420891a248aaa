using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>A decoder that comes from fairseq: XGLM, BioGPT.</summary>
/// <param name="Json">The file, for its activation.</param>
/// <param name="Family">The prefix of the class names: "XGLM".</param>
internal sealed record FairseqDescription(ConfigReader Json, string Family)
{
    public required int VocabSize { get; init; }

    public required int MaxPositions { get; init; }

    public required int HiddenSize { get; init; }

    public required int IntermediateSize { get; init; }

    public required int NumLayers { get; init; }

    public required int NumHeads { get; init; }

    public required int? PadTokenId { get; init; }

    /// <summary>The config key of the activation.</summary>
    public required string ActivationKey { get; init; }

    /// <summary>Whether positions are sines and cosines; otherwise they are learned.</summary>
    public bool IsSinusoidal { get; init; }

    /// <summary>Whether queries are scaled before their product with the keys; otherwise the scores are.</summary>
    public bool ScalesQueries { get; init; }

    /// <summary>
    /// Whether layers and attentions receive position_ids, and the mask by keyword, as in BioGPT; otherwise the mask by position, as in
    /// XGLM.
    /// </summary>
    public bool PassesPositionIds { get; init; }

    /// <summary>The factor of the embeddings: the square root of the hidden size, unless scale_embedding is false.</summary>
    public double EmbeddingFactor => Json.Flag("scale_embedding", true) ? Math.Sqrt(HiddenSize) : 1;
}

/// <summary>Scaled embeddings, positions that begin at row 2 of their table, layers with norms before attention and mlp.</summary>
/// <remarks>
/// XGLMModel in transformers/models/xglm/modeling_xglm.py, BioGptModel in transformers/models/biogpt/modeling_biogpt.py
/// </remarks>
[SharedLayer]
public sealed partial class FairseqDecoder : BaseModel
{
    private readonly bool _passesPositionIds;
    private readonly Embedding _embedTokens;
    private readonly SinusoidalPositions? _sinusoidalPositions;
    private readonly OPTLearnedPositionalEmbedding? _learnedPositions;
    private readonly ModuleList<FairseqDecoderLayer> _layers;
    private readonly LayerNorm _layerNorm;

    internal FairseqDecoder(FairseqDescription description)
    {
        (ClassName, _passesPositionIds) = ($"{description.Family}Model", description.PassesPositionIds);
        _embedTokens = Child("embed_tokens", new Embedding(description.VocabSize, description.HiddenSize, description.PadTokenId,
            $"{description.Family}ScaledWordEmbedding", factor: description.EmbeddingFactor));
        if (description.IsSinusoidal)
            _sinusoidalPositions = Child("embed_positions", new SinusoidalPositions(
                $"{description.Family}SinusoidalPositionalEmbedding", description.HiddenSize, description.PadTokenId));
        else
            _learnedPositions = Child("embed_positions", new OPTLearnedPositionalEmbedding(
                description.MaxPositions, description.HiddenSize, $"{description.Family}LearnedPositionalEmbedding"));
        _layers = Child("layers",
            new ModuleList<FairseqDecoderLayer>(description.NumLayers, layer => new FairseqDecoderLayer(description, layer)));
        _layerNorm = Child("layer_norm", new LayerNorm(description.HiddenSize));
    }

    public override string ClassName { get; }

    internal override Parameter Embeddings => _embedTokens.Table;

    public override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments(_passesPositionIds ? [inputIds] : [],
        [
            .. _passesPositionIds ? [] : (KeyValuePair<string, object?>[])[new("input_ids", inputIds)],
            new("attention_mask", attentionMask), new("position_ids", positionIds), new("past_key_values", cache),
            new("use_cache", cache is not null),
        ]))
        : Forward(inputIds, attentionMask, positionIds, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(_passesPositionIds ? 5 : 2, "position_ids"),
        arguments.Get(_passesPositionIds ? 3 : 5, "past_key_values") as KeyValueCache);

    private ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        long cached = cache?.Length ?? 0;
        Tensor hidden = _embedTokens.Call(inputIds);                                                // [batch, seq, hidden]
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype);          // [batch, 1, seq, kvSeq]
        Tensor present = attentionMask;                                                             // [batch, kvSeq]
        if (_learnedPositions is not null) present = attentionMask.to(ScalarType.Float32);          // [batch, kvSeq]
        Tensor positions = hidden;                                                                  // [batch, seq, hidden]
        if (_sinusoidalPositions is not null) positions = _sinusoidalPositions.Call(positionIds, cached, hidden.dtype);
        if (_learnedPositions is not null) positions = _learnedPositions.Call(present, cached, positionIds);
        hidden = hidden + positions;                                                                // [batch, seq, hidden]
        for (int layer = 0; layer < _layers.Count; layer++)
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positionIds, cache)[0]!;             // [batch, seq, hidden]
        hidden = _layerNorm.Call(hidden);                                                           // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

[SharedLayer]
public sealed partial class FairseqDecoderLayer : SiteModule
{
    private readonly bool _passesPositionIds;
    private readonly FairseqAttention _selfAttn;
    private readonly Activation _activationFn;
    private readonly LayerNorm _selfAttnLayerNorm, _finalLayerNorm;
    private readonly Linear _fc1, _fc2;

    internal FairseqDecoderLayer(FairseqDescription description, int layer)
    {
        (ClassName, _passesPositionIds) = ($"{description.Family}DecoderLayer", description.PassesPositionIds);
        _selfAttn = Child("self_attn", new FairseqAttention(description, layer));
        _activationFn = Child("activation_fn", Activation.Read(description.Json, description.ActivationKey, "gelu"));
        _selfAttnLayerNorm = Child("self_attn_layer_norm", new LayerNorm(description.HiddenSize));
        _fc1 = Child("fc1", new Linear(description.HiddenSize, description.IntermediateSize));
        _fc2 = Child("fc2", new Linear(description.IntermediateSize, description.HiddenSize));
        _finalLayerNorm = Child("final_layer_norm", new LayerNorm(description.HiddenSize));
    }

    public override string ClassName { get; }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info)
    {
        info.Residual = Layouts.Sequential("self_attn", "fc2");
        info.Mlp = Layouts.Mlp("fc1", "fc2");
    }

    public override Axes InputAxes(string argument) => argument is "1" or "attention_mask" ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<object?[]>(observer, _passesPositionIds
            ? new Arguments([hidden],
            [
                new("attention_mask", mask), new("past_key_values", cache), new("position_ids", positionIds),
                new("use_cache", cache is not null),
            ])
            : new Arguments([hidden, mask, null], [new("past_key_values", cache), new("use_cache", cache is not null)]))
        : Forward(hidden, mask, positionIds, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Get(5, "position_ids") as Tensor,
        arguments.Get(_passesPositionIds ? 2 : 4, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor mask, Tensor? positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        var attended = (Tensor)_selfAttn.Call(_selfAttnLayerNorm.Call(hidden), mask, positionIds, cache)[0]!; // [batch, seq, hidden]
        Tensor middle = hidden + attended;                                                          // [batch, seq, hidden]
        Tensor intermediate = _activationFn.Call(_fc1.Call(_finalLayerNorm.Call(middle)));          // [batch, seq, intermediate]
        Tensor output = middle + _fc2.Call(intermediate);                                           // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

[SharedLayer]
public sealed partial class FairseqAttention : SiteModule
{
    private readonly int _layer, _heads, _headDim;
    private readonly bool _scalesQueries, _passesPositionIds;
    private readonly double _scale, _scoreScale;
    private readonly Linear _kProj, _vProj, _qProj, _outProj;
    private readonly FusedAttention _fusedAttention;

    internal FairseqAttention(FairseqDescription description, int layer)
    {
        int hiddenSize = description.HiddenSize;
        (ClassName, _layer, _heads) = ($"{description.Family}Attention", layer, description.NumHeads);
        (_headDim, _scalesQueries, _passesPositionIds) = (hiddenSize / _heads, description.ScalesQueries, description.PassesPositionIds);
        _scale = 1 / Math.Sqrt(_headDim);
        _scoreScale = _scalesQueries ? 1 : _scale;
        _kProj = Child("k_proj", new Linear(hiddenSize, hiddenSize));
        _vProj = Child("v_proj", new Linear(hiddenSize, hiddenSize));
        _qProj = Child("q_proj", new Linear(hiddenSize, hiddenSize));
        _outProj = Child("out_proj", new Linear(hiddenSize, hiddenSize));
        _fusedAttention = new FusedAttention(this, layer, _heads, _heads, _headDim, _scoreScale)
        {
            Projections = [_qProj, _kProj, _vProj], OutputProjection = _outProj, QueryScale = _scalesQueries ? _scale : 1,
        };
    }

    public override string ClassName { get; }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = Layouts.Separate(
        _heads, _heads, _headDim, "q_proj", "k_proj", "v_proj", "out_proj");

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor? positionIds, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<object?[]>(observer, _passesPositionIds
            ? new Arguments([],
            [
                new("hidden_states", hidden), new("past_key_values", cache), new("attention_mask", mask), new("position_ids", positionIds),
            ])
            : new Arguments([hidden], [new("past_key_values", cache), new("attention_mask", mask)]))
        : Forward(hidden, mask, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(3, "attention_mask"),
        arguments.Get(2, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor mask, KeyValueCache? cache)
    {
        if (_fusedAttention.TryForward(hidden, cache, mask) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor projected = _qProj.Call(hidden);                                                 // [batch, seq, hidden]
        if (_scalesQueries) projected = projected * _scale;                                     // [batch, seq, hidden]
        Tensor query = EagerAttention.SplitHeads(projected, _heads, _headDim);                  // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_kProj.Call(hidden), _heads, _headDim);          // [batch, heads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), _heads, _headDim);        // [batch, heads, seq, headDim]
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scoreScale);
        Tensor output = _outProj.Call(mixed.flatten(2));                                        // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}
