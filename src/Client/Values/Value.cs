using System.Runtime.CompilerServices;
using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// A deferred result: what an experiment refers to before it has run. Operators, <c>[..]</c> and methods record operations;
/// nothing is computed here. Only what is saved (<see cref="Save"/>) comes back.
/// </summary>
/// <remarks>
/// There is no conversion to bool: <c>if (value &gt; 0)</c> does not compile, because the value is not known while recording;
/// write <c>t.If(value &gt; 0, ...)</c>.
/// </remarks>
public partial class Value
{
    internal Value(Recorder? recorder, uint node) => (Recorder, Node) = (recorder, node);

    /// <summary>Where it was recorded; null for a constant.</summary>
    internal Recorder? Recorder { get; }

    internal uint Node { get; }

    /// <summary>The value as an argument of a node that is being recorded.</summary>
    internal virtual object? AsArgument() => this;

    /// <summary>
    /// An element or slice, as Python's <c>x[...]</c>: <c>x[0]</c>, <c>x[.., ^1]</c>, <c>x["logits"]</c>. Assigning edits in place.
    /// </summary>
    [IndexerName("At")]
    public Value this[params Idx[] index]
    {
        get => Get(index);
        set => Recorder.Current(this).Call("setitem_", [this, index, value]);
    }

    /// <inheritdoc cref="this[Idx[]]"/>
    [IndexerName("At")]
    public Value this[string key]
    {
        get => GetEntry(key);
        set => Recorder.Current(this).Call("setitem_", [this, key, value]);
    }

    private protected virtual Value Get(Idx[] index) => Recorder.Current(this).Call("getitem", [this, index]);

    private protected virtual Value GetEntry(string key) => Recorder.Current(this).Call("getitem", [this, key]);

    /// <summary>
    /// The gradient of this value, which a backward pass brings: in its block (<see cref="Scope.Backward"/>) as it goes by, to be read,
    /// edited in place or replaced; after it, as it was. The shape of the value.
    /// </summary>
    public Value Grad
    {
        get
        {
            Recorder recorder = Recorder.Current(this);
            return recorder.Value(new Node { ReadGradient = new ReadGradient { Node = GetNodeId(recorder) } });
        }
        set
        {
            Recorder recorder = Recorder.Current(this);
            recorder.Add(new Node { WriteGradient = new WriteGradient { Node = GetNodeId(recorder), Value = recorder.Argument(value) } });
        }
    }

    private uint GetNodeId(Recorder recorder) => recorder.Argument(this) is { ValueCase: Argument.ValueOneofCase.Node } own ? own.Node
        : throw new InvalidOperationException("A constant has no gradient: only what is computed in the trace has one.");

    /// <summary>The sizes, usable as numbers: <c>x.Shape[^1]</c>.</summary>
    public virtual Value Shape => Recorder.Current(this).Call("shape", [this]);

    /// <summary>
    /// Asks for this value back. A tensor is taken as it is at this point; a list or dictionary as it is when the run ends.
    /// </summary>
    /// <param name="name">The result's name; by default the expression's position.</param>
    public Saved Save(string? name = null) => Recorder.Current(this).Save(this, name);

    public static implicit operator Value(double number) => new ConstantValue(number);
    public static implicit operator Value(float number) => new ConstantValue((double)number);
    public static implicit operator Value(long number) => new ConstantValue(number);
    public static implicit operator Value(int number) => new ConstantValue((long)number);
    public static implicit operator Value(bool flag) => new ConstantValue(flag);
    public static implicit operator Value(TensorData tensor) => new ConstantValue(tensor);
    public static implicit operator Value(int[] numbers) => new ConstantValue(TensorData.FromArray(Array.ConvertAll(numbers, n => (long)n)));
    public static implicit operator Value(long[] numbers) => new ConstantValue(TensorData.FromArray(numbers));
    public static implicit operator Value(float[] numbers) => new ConstantValue(TensorData.FromArray(numbers));
    public static implicit operator Idx(Value value) => Idx.From(value);

    public static Value operator +(Value left, Value right) => Binary("add", left, right);
    public static Value operator -(Value left, Value right) => Binary("sub", left, right);
    public static Value operator *(Value left, Value right) => Binary("mul", left, right);
    public static Value operator /(Value left, Value right) => Binary("div", left, right);
    public static Value operator %(Value left, Value right) => Binary("remainder", left, right);
    public static Value operator >(Value left, Value right) => Binary("gt", left, right);
    public static Value operator <(Value left, Value right) => Binary("lt", left, right);
    public static Value operator >=(Value left, Value right) => Binary("ge", left, right);
    public static Value operator <=(Value left, Value right) => Binary("le", left, right);
    public static Value operator &(Value left, Value right) => Binary("logical_and", left, right);
    public static Value operator |(Value left, Value right) => Binary("logical_or", left, right);
    public static Value operator -(Value value) => Recorder.Current(value).Call("neg", [value]);
    public static Value operator !(Value value) => Recorder.Current(value).Call("logical_not", [value]);

    private static Value Binary(string op, Value left, Value right) =>
        Recorder.Current(left.Recorder is null ? right : left).Call(op, [left, right]);

    public override string ToString() => $"Value %{Node} (deferred: it has a value only while the trace runs; Save() it to keep it)";
}

/// <summary>A number, flag or tensor of the client, on its way into a program.</summary>
internal sealed class ConstantValue(object content) : Value(null, 0)
{
    internal override object AsArgument() => content;

    public override string ToString() => content.ToString() ?? "";
}
