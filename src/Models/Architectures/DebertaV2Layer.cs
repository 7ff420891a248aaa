using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>Attention and mlp, each with its input added and a norm behind.</summary>
[SharedLayer]
public sealed partial class DebertaV2Layer : SiteModule
{
    private readonly DebertaV2Attention _attention;
    private readonly BertIntermediate _intermediate;
    private readonly BertOutput _output;

    internal DebertaV2Layer(EncoderDescription description, DisentangledPositions positions)
    {
        _attention = Child("attention", new DebertaV2Attention(description, positions));
        _intermediate = Child("intermediate", new BertIntermediate(description));
        _output = Child("output", new BertOutput(description, "Output", description.IntermediateSize));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = Layouts.Normalized("attention", "attention.output.dense", "output.dense");

    public override Axes InputAxes(string argument) => DisentangledSelfAttention.AxesOf(argument);

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor relativePositions, Tensor relativeEmbeddings) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden, mask],
            [new("relative_pos", relativePositions), new("rel_embeddings", relativeEmbeddings)]))
        : Forward(hidden, mask, relativePositions, relativeEmbeddings);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(3, "relative_pos"), arguments.Tensor(4, "rel_embeddings"));

    private object?[] Forward(Tensor hidden, Tensor mask, Tensor relativePositions, Tensor relativeEmbeddings)
    {
        using var scope = NewDisposeScope();
        var attended = (Tensor)_attention.Call(hidden, mask, relativePositions, relativeEmbeddings)[0]!; // [batch, seq, hidden]
        Tensor output = _output.Call(_intermediate.Call(attended), attended);                           // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

[SharedLayer]
public sealed partial class DebertaV2Attention : SiteModule
{
    private readonly DisentangledSelfAttention _self;
    private readonly BertOutput _output;

    internal DebertaV2Attention(EncoderDescription description, DisentangledPositions positions)
    {
        _self = Child("self", new DisentangledSelfAttention(description, positions));
        _output = Child("output", new BertOutput(description, "SelfOutput", description.HiddenSize));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = _self.CreateLayout();

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    public override Axes InputAxes(string argument) => DisentangledSelfAttention.AxesOf(argument);

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor relativePositions, Tensor relativeEmbeddings) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden, mask],
            [new("relative_pos", relativePositions), new("rel_embeddings", relativeEmbeddings)]))
        : Forward(hidden, mask, relativePositions, relativeEmbeddings);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(4, "relative_pos"), arguments.Tensor(5, "rel_embeddings"));

    private object?[] Forward(Tensor hidden, Tensor mask, Tensor relativePositions, Tensor relativeEmbeddings)
    {
        using var scope = NewDisposeScope();
        object?[] mixedAndProbabilities = _self.Call(hidden, mask, relativePositions, relativeEmbeddings);
        var mixed = (Tensor)mixedAndProbabilities[0]!;                                                  // [batch, seq, hidden]
        Tensor output = _output.Call(mixed, hidden);                                                    // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), (mixedAndProbabilities[1] as Tensor)?.MoveToOuterDisposeScope()];
    }
}

/// <summary>
/// Attention by content and by distance: a query to a key, a query to the embedding of the distance, and a key to it. The projections of
/// the embeddings of distances, which are the same for all rows, are a second call of the same modules.
/// </summary>
[SharedLayer]
public sealed partial class DisentangledSelfAttention : SiteModule
{
    private readonly DisentangledPositions _positions;
    private readonly int _heads, _headDim;
    private readonly double _scale;
    private readonly bool _sharesProjections, _isContentToPosition, _isPositionToContent;
    private readonly Linear _queryProj, _keyProj, _valueProj;
    private readonly Linear? _posKeyProj, _posQueryProj;
    private readonly Dropout _posDropout, _dropout;

    internal DisentangledSelfAttention(EncoderDescription description, DisentangledPositions positions)
    {
        int size = description.HiddenSize;
        _positions = positions;
        (_heads, _headDim, _sharesProjections) = (description.NumHeads, description.HeadDim, positions.SharesProjections);
        (_isContentToPosition, _isPositionToContent) = (positions.IsContentToPosition, positions.IsPositionToContent);
        _scale = Math.Sqrt(_headDim * (1 + (_isContentToPosition ? 1 : 0) + (_isPositionToContent ? 1 : 0)));
        _queryProj = Child("query_proj", new Linear(size, size));
        _keyProj = Child("key_proj", new Linear(size, size));
        if (_sharesProjections)
        {
            // they are called again for the embeddings of distances, which have no rows: a program at them has its pass to itself
            _queryProj.SetAxes(Axes.Unknown);
            _keyProj.SetAxes(Axes.Unknown);
        }
        _valueProj = Child("value_proj", new Linear(size, size));
        _posDropout = Child("pos_dropout", new Dropout(description.HiddenDropout, Axes.Shared));
        if (!_sharesProjections && _isContentToPosition) _posKeyProj = OfPositions("pos_key_proj", size);
        if (!_sharesProjections && _isPositionToContent) _posQueryProj = OfPositions("pos_query_proj", size);
        _dropout = Child("dropout", new Dropout(description.Json.Real("attention_probs_dropout_prob", 0.1), Axes.Attention));
    }

    private Linear OfPositions(string name, int size)
    {
        Linear projection = Child(name, new Linear(size, size));
        projection.SetAxes(Axes.Shared);
        return projection;
    }

    /// <summary>The heads, with paths relative to the parent.</summary>
    internal Protocol.AttentionLayout CreateLayout() =>
        Layouts.Separate(_heads, _heads, _headDim, "self.query_proj", "self.key_proj", "self.value_proj", "output.dense");

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    public override Axes InputAxes(string argument) => AxesOf(argument);

    /// <summary>The dimensions of an argument of a layer and of its attention.</summary>
    internal static Axes AxesOf(string argument) => argument switch
    {
        "1" or "attention_mask" => Axes.Attention,
        "relative_pos" => new Axes(Axes.None, 1, 2),
        "rel_embeddings" => Axes.Shared,
        _ => Axes.Hidden,
    };

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor relativePositions, Tensor relativeEmbeddings) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden, mask, true],
            [new("relative_pos", relativePositions), new("rel_embeddings", relativeEmbeddings)]))
        : Forward(hidden, mask, relativePositions, relativeEmbeddings);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(4, "relative_pos"), arguments.Tensor(5, "rel_embeddings"));

    private object?[] Forward(Tensor hidden, Tensor mask, Tensor relativePositions, Tensor relativeEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_queryProj.Call(hidden), _heads, _headDim);            // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_keyProj.Call(hidden), _heads, _headDim);                // [batch, heads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_valueProj.Call(hidden), _heads, _headDim);            // [batch, heads, seq, headDim]
        query = SourceLabel.Of("q", query);
        key = SourceLabel.Of("k", key);
        value = SourceLabel.Of("v", value);
        Tensor scores = EagerAttention.Scores(query, key / _scale);                                     // [batch, heads, seq, kvSeq]
        Tensor table = _posDropout.Call(relativeEmbeddings).unsqueeze(0);
        Tensor positionQuery = table, positionKey = table;
        if (_sharesProjections) positionQuery = _queryProj.Call(table);
        if (_sharesProjections) positionKey = _keyProj.Call(table);
        if (_posKeyProj is not null) positionKey = _posKeyProj.Call(table);
        if (_posQueryProj is not null) positionQuery = _posQueryProj.Call(table);
        if (_isContentToPosition) scores = scores + ContentToPosition(query, positionKey, relativePositions);
        if (_isPositionToContent) scores = scores + PositionToContent(key, positionQuery, relativePositions);
        scores = scores.masked_fill(mask == 0, finfo(scores.dtype).min);                                // [batch, heads, seq, kvSeq]
        scores = SourceLabel.Of("scores", scores);
        Tensor probabilities = nn.functional.softmax(scores, -1);                                       // [batch, heads, seq, kvSeq]
        probabilities = SourceLabel.Of("probs", _dropout.Call(probabilities));
        Tensor mixed = EagerAttention.Mix(probabilities, value);                                        // [batch, heads, seq, headDim]
        Tensor output = mixed.transpose(1, 2).flatten(2);                                               // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }

    /// <param name="table">The projected embeddings of distances, which all rows share.</param>
    /// <returns>[batch, heads, seq, kvSeq]</returns>
    private Tensor ContentToPosition(Tensor query, Tensor table, Tensor relativePositions) =>
        Select(query, table, (relativePositions + _positions.Span).clamp(0, 2 * _positions.Span - 1));

    /// <param name="table">The projected embeddings of distances, which all rows share.</param>
    /// <returns>[batch, heads, seq, kvSeq]</returns>
    private Tensor PositionToContent(Tensor key, Tensor table, Tensor relativePositions) =>
        Select(key, table, (_positions.Span - relativePositions).clamp(0, 2 * _positions.Span - 1)).transpose(-1, -2);

    /// <summary>The products of a vector with the embeddings of its distances to the others.</summary>
    private Tensor Select(Tensor x, Tensor table, Tensor distances)
    {
        Tensor embeddings = table.view(-1, _heads, _headDim).permute(1, 2, 0);                          // [heads, headDim, distances]
        Tensor rows = x.transpose(0, 1).flatten(1, 2);                                                  // [heads, batch · seq, headDim]
        Tensor products = bmm(rows, embeddings).view(_heads, x.size(0), x.size(2), -1).transpose(0, 1); // [batch, heads, seq, distances]
        return (products / _scale).gather(-1, distances.unsqueeze(0).expand(x.size(0), _heads, -1, -1));
    }
}
