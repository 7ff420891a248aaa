using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>Self-attention with its projection and the norm behind.</summary>
/// <remarks>BertAttention in transformers/models/bert/modeling_bert.py; Hugging Face has one copy per model.</remarks>
[SharedLayer]
public sealed partial class BertAttention : SiteModule
{
    private readonly BertSelfAttention _self;
    private readonly BertOutput _output;
    private readonly FusedAttention _fusedAttention;

    internal BertAttention(EncoderDescription description)
    {
        ClassName = $"{description.Family}Attention";
        _self = Child("self", new BertSelfAttention(description));
        _output = Child("output", new BertOutput(description, "SelfOutput", description.HiddenSize));
        int heads = description.NumHeads, headDim = description.HeadDim;
        _fusedAttention = new FusedAttention(this, 0, heads, heads, headDim, 1 / Math.Sqrt(headDim))
        {
            Projections = _self.Projections, OutputProjection = _output.Dense,
        };
    }

    public override string ClassName { get; }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = _self.CreateLayout();

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    public override Axes InputAxes(string argument) => argument is "1" or "attention_mask" ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask) =>
        Hook is { } observer ? CallHooked<object?[]>(observer, new Arguments(hidden, mask)) : Forward(hidden, mask);

    public override object? Run(Arguments arguments) =>
        Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "attention_mask"));

    private object?[] Forward(Tensor hidden, Tensor mask)
    {
        if (_fusedAttention.TryForward(hidden, null, mask) is [Tensor fused, var fusedProbabilities])
            return [_output.AddAndNormalize(fused, hidden), fusedProbabilities];
        using var scope = NewDisposeScope();
        object?[] mixedAndProbabilities = _self.Call(hidden, mask);
        var mixed = (Tensor)mixedAndProbabilities[0]!;                                              // [batch, seq, hidden]
        Tensor output = _output.Call(mixed, hidden);                                                // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), (mixedAndProbabilities[1] as Tensor)?.MoveToOuterDisposeScope()];
    }
}

/// <summary>The mixture of the values, before its projection.</summary>
[SharedLayer]
public sealed partial class BertSelfAttention : SiteModule
{
    private readonly int _heads, _headDim;
    private readonly double _scale;
    private readonly Linear _query, _key, _value;

    internal BertSelfAttention(EncoderDescription description)
    {
        ClassName = $"{description.Family}SelfAttention";
        (_heads, _headDim) = (description.NumHeads, description.HeadDim);
        _scale = 1 / Math.Sqrt(_headDim);
        _query = Child("query", new Linear(description.HiddenSize, description.HiddenSize));
        _key = Child("key", new Linear(description.HiddenSize, description.HiddenSize));
        _value = Child("value", new Linear(description.HiddenSize, description.HiddenSize));
        Child("dropout", new Dropout(description.Json.Real("attention_probs_dropout_prob", 0.1), Axes.Attention)); // not called
    }

    public override string ClassName { get; }

    internal IReadOnlyList<ILinearLayer> Projections => [_query, _key, _value];

    /// <summary>The heads, with paths relative to the parent.</summary>
    internal Protocol.AttentionLayout CreateLayout() =>
        Layouts.Separate(_heads, _heads, _headDim, "self.query", "self.key", "self.value", "output.dense");

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask) => Hook is { } observer
        ? CallHooked<object?[]>(observer,
            new Arguments([hidden], [new("attention_mask", mask)]))
        : Forward(hidden, mask);

    public override object? Run(Arguments arguments) =>
        Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "attention_mask"));

    private object?[] Forward(Tensor hidden, Tensor mask)
    {
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_query.Call(hidden), _heads, _headDim);            // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_key.Call(hidden), _heads, _headDim);                // [batch, heads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_value.Call(hidden), _heads, _headDim);            // [batch, heads, seq, headDim]
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scale);
        Tensor output = mixed.flatten(2);                                                           // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}
