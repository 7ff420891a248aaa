using System.Runtime.CompilerServices;
using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// A deferred result: a value of an experiment that has not run yet. Operators, <c>[..]</c> and methods record operations, and nothing is
/// computed on the client. Only values that are saved (<see cref="Save"/>) come back.
/// </summary>
/// <remarks>
/// There is no conversion to bool: <c>if (value &gt; 0)</c> does not compile, because the value is not known while recording. Write
/// <c>t.If(value &gt; 0, ...)</c>. An operation that fails throws from the run: <see cref="ShapeMismatchException"/>,
/// <see cref="IndexOutOfRangeException"/> or another <see cref="NdifException"/>, whose message names the line that recorded it.
/// </remarks>
public partial class Value
{
    internal Value(Recorder? recorder, uint node) => (Recorder, Node) = (recorder, node);

    /// <summary>The recorder of the program that contains the value; null for a constant.</summary>
    internal Recorder? Recorder { get; }

    internal uint Node { get; }

    /// <summary>The value as the argument of a node.</summary>
    internal virtual object? AsArgument() => this;

    /// <summary>
    /// An element or slice, as Python's <c>x[...]</c>: <c>x[0]</c>, <c>x[.., ^1]</c>. An assignment edits the value in place.
    /// </summary>
    [IndexerName("At")]
    public Value this[params Idx[] index]
    {
        get => Get(index);
        set => Set(index, value);
    }

    /// <summary>An entry of a dictionary: <c>output["logits"]</c>. An assignment edits the value in place.</summary>
    [IndexerName("At")]
    public Value this[string key]
    {
        get => GetEntry(key);
        set => Set(key, value);
    }

    private protected virtual Value Get(Idx[] index) => Recorder.Current(this).Call("getitem", [this, index]);

    private protected virtual void Set(object index, Value value) => Recorder.Current(this).Call("setitem_", [this, index, value]);

    private protected virtual Value GetEntry(string key) => Recorder.Current(this).Call("getitem", [this, key]);

    /// <summary>
    /// The gradient of this value, of the same shape. Inside the block of a backward pass (<see cref="Tracer.Backward"/>) it can be read,
    /// edited in place and replaced; after the pass it can be read.
    /// </summary>
    /// <exception cref="InvalidOperationException">The value is a constant.</exception>
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

    private uint GetNodeId(Recorder recorder) =>
        recorder.Argument(this) is { ValueCase: Argument.ValueOneofCase.Node } argument ? argument.Node
        : throw new InvalidOperationException("A constant has no gradient: only what is computed in the trace has one.");

    /// <summary>
    /// The sizes of the dimensions, which can be used as numbers: <c>x.Shape[^1]</c>. <para>PyTorch: <c>Tensor.shape</c></para>
    /// </summary>
    public virtual Value Shape => Recorder.Current(this).Call("shape", [this]);

    /// <summary>
    /// Makes the value part of the run's results. A tensor is copied at this point of the program; a list or dictionary is taken when the
    /// run ends.
    /// </summary>
    /// <param name="name">The name of the result in <see cref="Job.Results"/>; by default that of its module or operation.</param>
    public virtual Saved Save(string? name = null) => Recorder.Current(this).Save(this, name);

    /// <summary>A floating-point number.</summary>
    public static implicit operator Value(double number) => new ConstantValue(number);
    /// <summary>A floating-point number.</summary>
    public static implicit operator Value(float number) => new ConstantValue((double)number);
    /// <summary>A whole number.</summary>
    public static implicit operator Value(long number) => new ConstantValue(number);
    /// <summary>A whole number.</summary>
    public static implicit operator Value(int number) => new ConstantValue((long)number);
    /// <summary>A flag.</summary>
    public static implicit operator Value(bool flag) => new ConstantValue(flag);
    /// <summary>A tensor, which is sent with the program.</summary>
    public static implicit operator Value(TensorData tensor) => new ConstantValue(tensor);
    /// <summary>An int64 tensor with one dimension.</summary>
    public static implicit operator Value(int[] numbers) =>
        new ConstantValue(TensorData.FromArray(Array.ConvertAll(numbers, n => (long)n)));
    /// <summary>An int64 tensor with one dimension.</summary>
    public static implicit operator Value(long[] numbers) => new ConstantValue(TensorData.FromArray(numbers));
    /// <summary>A float32 tensor with one dimension.</summary>
    public static implicit operator Value(float[] numbers) => new ConstantValue(TensorData.FromArray(numbers));
    /// <summary>A deferred index: a number or a tensor that the program computes.</summary>
    public static implicit operator Idx(Value value) => Idx.From(value);

    /// <summary>Adds element by element. <para>PyTorch: <c>add</c></para></summary>
    public static Value operator +(Value left, Value right) => Binary("add", left, right);
    /// <summary>Subtracts element by element. <para>PyTorch: <c>sub</c></para></summary>
    public static Value operator -(Value left, Value right) => Binary("sub", left, right);
    /// <summary>Multiplies element by element. <para>PyTorch: <c>mul</c></para></summary>
    public static Value operator *(Value left, Value right) => Binary("mul", left, right);
    /// <summary>Divides element by element. <para>PyTorch: <c>div</c></para></summary>
    public static Value operator /(Value left, Value right) => Binary("div", left, right);
    /// <summary>The remainder of a division, with the sign of the divisor. <para>PyTorch: <c>remainder</c></para></summary>
    public static Value operator %(Value left, Value right) => Binary("remainder", left, right);
    /// <summary>Whether left is greater than right, element by element. <para>PyTorch: <c>gt</c></para></summary>
    public static Value operator >(Value left, Value right) => Binary("gt", left, right);
    /// <summary>Whether left is less than right, element by element. <para>PyTorch: <c>lt</c></para></summary>
    public static Value operator <(Value left, Value right) => Binary("lt", left, right);
    /// <summary>Whether left is at least right, element by element. <para>PyTorch: <c>ge</c></para></summary>
    public static Value operator >=(Value left, Value right) => Binary("ge", left, right);
    /// <summary>Whether left is at most right, element by element. <para>PyTorch: <c>le</c></para></summary>
    public static Value operator <=(Value left, Value right) => Binary("le", left, right);
    /// <summary>Whether both are true, element by element. <para>PyTorch: <c>logical_and</c></para></summary>
    public static Value operator &(Value left, Value right) => Binary("logical_and", left, right);
    /// <summary>Whether one of them is true, element by element. <para>PyTorch: <c>logical_or</c></para></summary>
    public static Value operator |(Value left, Value right) => Binary("logical_or", left, right);
    /// <summary>Changes the sign of each element. <para>PyTorch: <c>neg</c></para></summary>
    public static Value operator -(Value value) => Record("neg", [value]);
    /// <summary>Whether the element is false, element by element. <para>PyTorch: <c>logical_not</c></para></summary>
    public static Value operator !(Value value) => Record("logical_not", [value]);

    private static Value Binary(string op, Value left, Value right) => Record(op, [left, right]);

    /// <summary>
    /// The tensor of a result, such as a part of a <see cref="Saved"/> after the run: <c>(TensorData)top[1]</c>.
    /// </summary>
    /// <exception cref="InvalidOperationException">The value is deferred: Save() it, and read the saved value after the run.</exception>
    public static explicit operator TensorData(Value value) => value switch
    {
        Saved saved => saved.Tensor,
        _ when value.AsArgument() is TensorData tensor => tensor,
        _ => throw new InvalidOperationException("A deferred value has no tensor: Save() it, and read the saved value after the run."),
    };

    /// <summary>A note that the value is deferred; it never contains the value.</summary>
    public override string ToString() => $"Value %{Node} (deferred: it has a value only while the trace runs; Save() it to keep it)";
}

/// <summary>A number, flag or tensor of the client as the argument of an operation.</summary>
internal sealed class ConstantValue(object content) : Value(null, 0)
{
    internal override object AsArgument() => content;

    public override string ToString() => content.ToString() ?? "";
}
