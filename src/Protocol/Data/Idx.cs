namespace Ndif;

/// <summary>
/// One entry between the brackets of <c>x[.., ^1]</c>: a number, a range, an ellipsis, a new axis, a list of numbers, or
/// (in a trace) a value. Converts by itself from what C# writes.
/// </summary>
public readonly record struct Idx
{
    private Idx(object? entry) => Entry = entry;

    /// <summary>long, <see cref="IndexSlice"/>, <see cref="IndexEllipsis"/>, <see cref="TensorData"/>, a client's value, or null for a new axis.</summary>
    public object? Entry { get; }

    /// <summary>As many ':' as fit, Python's "...".</summary>
    public static Idx Ellipsis => new(IndexEllipsis.Instance);

    /// <summary>A new axis of size 1, Python's None.</summary>
    public static Idx New => new(null);

    /// <summary>Python's start:stop:step, for what C# ranges lack.</summary>
    public static Idx Step(long? start, long? stop, long step) => new(new IndexSlice(start, stop, step));

    /// <summary>Wraps any entry, as a client's value does.</summary>
    public static Idx From(object? entry) => new(entry);

    public static implicit operator Idx(int index) => new((long)index);
    public static implicit operator Idx(long index) => new(index);
    public static implicit operator Idx(Index index) => new(index.IsFromEnd ? -(long)index.Value : index.Value);
    public static implicit operator Idx(Range range) => new(new IndexSlice(Start(range.Start), Stop(range.End), null));
    public static implicit operator Idx(int[] indices) => new(TensorData.FromArray(Array.ConvertAll(indices, i => (long)i), indices.Length));
    public static implicit operator Idx(long[] indices) => new(TensorData.FromArray(indices, indices.Length));
    public static implicit operator Idx(TensorData indices) => new(indices);

    private static long? Start(Index index) => index.IsFromEnd ? (index.Value == 0 ? null : -(long)index.Value) : (index.Value == 0 ? null : index.Value);

    private static long? Stop(Index index) => index.IsFromEnd ? (index.Value == 0 ? null : -(long)index.Value) : index.Value;
}

/// <summary>start:stop:step; null is the default of each.</summary>
public sealed record IndexSlice(long? Start, long? Stop, long? Step);

public sealed record IndexEllipsis
{
    private IndexEllipsis() { }

    public static IndexEllipsis Instance { get; } = new();
}
