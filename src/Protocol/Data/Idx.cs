namespace Ndif;

/// <summary>
/// One entry between the brackets of <c>x[.., ^1]</c>: a number, a range, an ellipsis, a new axis, a list of numbers, or (in a trace) a
/// value. C#'s indices and ranges convert implicitly.
/// </summary>
public readonly record struct Idx
{
    private Idx(object? entry) => Entry = entry;

    /// <summary>
    /// A long, an <see cref="IndexSlice"/>, an <see cref="IndexEllipsis"/>, a <see cref="TensorData"/>, a value of a trace, or null for a
    /// new axis.
    /// </summary>
    public object? Entry { get; }

    /// <summary>All dimensions that the other entries do not index; Python's <c>...</c>.</summary>
    public static Idx Ellipsis => new(IndexEllipsis.Instance);

    /// <summary>A new dimension of size 1; Python's <c>None</c>.</summary>
    public static Idx NewAxis => new(null);

    /// <summary>Python's <c>start:stop:step</c>; C# ranges have no step. Null is the default of each.</summary>
    public static Idx Step(long? start, long? stop, long step) => new(new IndexSlice(start, stop, step));

    /// <summary>An index of one of the types of <see cref="Entry"/>.</summary>
    public static Idx From(object? entry) => new(entry);

    /// <summary>One element of a dimension; a negative number counts from the end.</summary>
    public static implicit operator Idx(int index) => new((long)index);
    /// <summary>One element of a dimension; a negative number counts from the end.</summary>
    public static implicit operator Idx(long index) => new(index);
    /// <summary>One element of a dimension: <c>^1</c> is the last.</summary>
    public static implicit operator Idx(Index index) => new(index.IsFromEnd ? -(long)index.Value : index.Value);
    /// <summary>A range of a dimension: <c>1..3</c>, <c>..</c> for all of it.</summary>
    public static implicit operator Idx(Range range) => new(new IndexSlice(Start(range.Start), Stop(range.End), null));
    /// <summary>A list of elements of a dimension.</summary>
    public static implicit operator Idx(int[] indices) =>
        new(TensorData.FromArray(Array.ConvertAll(indices, i => (long)i), indices.Length));
    /// <summary>A list of elements of a dimension.</summary>
    public static implicit operator Idx(long[] indices) => new(TensorData.FromArray(indices, indices.Length));
    /// <summary>A tensor of element numbers, or in a trace a mask.</summary>
    public static implicit operator Idx(TensorData indices) => new(indices);

    private static long? Start(Index index) => index.Value == 0 ? null : index.IsFromEnd ? -(long)index.Value : index.Value;

    private static long? Stop(Index index) => !index.IsFromEnd ? index.Value : index.Value == 0 ? null : -(long)index.Value;
}

/// <summary>Python's <c>start:stop:step</c>; null is the default of each.</summary>
/// <param name="Start">The first element; a negative number counts from the end.</param>
/// <param name="Stop">The element after the last.</param>
/// <param name="Step">The distance of two elements.</param>
public sealed record IndexSlice(long? Start, long? Stop, long? Step);

/// <summary>Python's <c>...</c> in an index.</summary>
public sealed record IndexEllipsis
{
    private IndexEllipsis() { }

    /// <summary>The only instance.</summary>
    public static IndexEllipsis Instance { get; } = new();
}
