using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// A value that is part of the run's results. Before the run it is a <see cref="Value"/> like any other; after the run it contains the
/// result.
/// </summary>
/// <remarks>
/// After the run, <see cref="Tensor"/> is the way to the numbers. Inside another trace the result is a constant. Outside of any trace the
/// operations that <see cref="TensorData"/> has are computed at once, in this process, and give results: <c>patched - clean</c>,
/// <c>logits[0, ^1].Softmax(-1)</c>. Other operations are an error that says so.
/// </remarks>
[TypeFormatterSource(typeof(SavedFormatterSource), PreferredMimeTypes = ["text/html"])]
public sealed class Saved : Value
{
    private object? _result;

    internal Saved(Recorder recorder, uint node, uint source) : base(recorder, source) => SaveNode = node;

    /// <summary>A part of a result.</summary>
    internal Saved(object? result) : base(null, 0) => (HasValue, _result) = (true, result);

    /// <summary>The id of the save node, by which the result is delivered.</summary>
    internal uint SaveNode { get; }

    /// <summary>True once the result has arrived. False before the run, and for a save in a branch or step that did not happen.</summary>
    public bool HasValue { get; private set; }

    /// <summary>
    /// The result: a <see cref="TensorData"/>, a long, double, bool or string, an <c>object?[]</c> (tuple or list), or a
    /// dictionary from string.
    /// </summary>
    /// <exception cref="InvalidOperationException">Accessing value before it's been set.</exception>
    public object? Result => HasValue ? _result : throw ValueNotSet();

    /// <summary>The result as a tensor; a number becomes a tensor without dimensions.</summary>
    /// <exception cref="InvalidOperationException">Accessing value before it's been set, or the result is not a tensor.</exception>
    public TensorData Tensor => Result switch
    {
        TensorData tensor => tensor,
        long number => TensorData.FromArray([number]).Reshape(),
        double number => TensorData.FromArray([number]).Reshape(),
        bool flag => TensorData.FromArray([flag]).Reshape(),
        object?[] { Length: 1 } tuple when tuple[0] is TensorData tensor => tensor,
        var other => throw new InvalidOperationException(
            $"The result is {DataDeserializer.Describe(other)}, not a tensor; index it first."),
    };

    /// <summary>The only element of the result.</summary>
    /// <exception cref="InvalidOperationException">There is no result yet, or it has several elements.</exception>
    public T Item<T>() where T : unmanaged => Tensor.Item<T>();

    /// <summary>The elements in row-major order, converted to a .NET type.</summary>
    /// <exception cref="InvalidOperationException">There is no result yet, or it is not a tensor.</exception>
    public T[] ToArray<T>() where T : unmanaged => Tensor.ToArray<T>();

    /// <summary>The result as a tensor; see <see cref="Tensor"/>.</summary>
    public static implicit operator TensorData(Saved saved) => saved.Tensor;

    /// <summary>In a trace, makes the value part of its results. A result outside of a trace is kept already.</summary>
    /// <inheritdoc/>
    public override Saved Save(string? name = null) => HasValue && Recorder.Ambient is null ? this : base.Save(name);

    /// <summary>The sizes of the dimensions: numbers once the result has arrived, a deferred value before.</summary>
    public override Value Shape => HasValue
        ? new Saved(Tensor.Shape.ToArray().Select(size => (object?)size).ToArray())
        : base.Shape;

    internal void SetResult(object? result) => (HasValue, _result) = (true, result);

    /// <summary>Drops the result of an attempt that has ended; the job runs again.</summary>
    internal void DropResult() => (HasValue, _result) = (false, null);

    internal override object? AsArgument() => HasValue && !IsRecording ? _result : this;

    private bool IsRecording => Recorder is { IsOpen: true };

    private protected override void Set(object index, Value value)
    {
        if (HasValue && Recorder.Ambient is null)
            throw new InvalidOperationException("A result cannot be changed. In a trace, edit the value before it is saved; after the run, "
                + "compute a new one, or change the elements of `saved.ToArray<float>()`.");
        base.Set(index, value);
    }

    private protected override Value Get(Idx[] index)
    {
        if (!HasValue || IsRecording) return base.Get(index);
        return _result switch
        {
            object?[] items when index is [var only] => only.Entry switch
            {
                long i => new Saved(items[i < 0 ? i + items.Length : i]),
                IndexSlice s => new Saved(items[(Range)Of(s)]),
                _ => throw new ArgumentException("A tuple or list is indexed by a number or a range."),
            },
            _ => new Saved(Tensor[index]),
        };

        static Range Of(IndexSlice s) => new(At(s.Start, Index.Start), At(s.Stop, Index.End));
        static Index At(long? at, Index otherwise) => at is null ? otherwise : at < 0 ? ^(int)-at.Value : (int)at.Value;
    }

    private protected override Value GetEntry(string key)
    {
        if (!HasValue || IsRecording) return base.GetEntry(key);
        return _result is IReadOnlyDictionary<string, object?> map
            ? map.TryGetValue(key, out object? entry) ? new Saved(entry)
                : throw new KeyNotFoundException($"The result has no `{key}`; it has {string.Join(", ", map.Keys)}.")
            : throw new InvalidOperationException($"The result is {DataDeserializer.Describe(_result)}, which has no names.");
    }

    private InvalidOperationException ValueNotSet() => new(
        Recorder is { HasRun: true }
            ? "Accessing value before it's been set. The trace ran, but not this save: its branch was not taken, its step did not happen, "
                + "or the trace was stopped before it."
            : "Accessing value before it's been set. It has a value after the trace has run.");

    /// <summary>The result as PyTorch prints it, or a note that there is none yet.</summary>
    public override string ToString() => HasValue ? DataDeserializer.Render(_result) : "Saved (not yet run)";
}
