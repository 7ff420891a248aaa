using System.Collections;
using System.Runtime.CompilerServices;

namespace Ndif;

/// <summary>One or several dimensions of a computed tensor: <c>x.Mean(-1)</c>, <c>x.Mean(dim: [0, 1])</c>. Negative ones count from the
/// end.</summary>
[CollectionBuilder(typeof(Dims), nameof(Create))]
public sealed class Dims : IEnumerable<int>
{
    private readonly int[] _items;

    private Dims(int[] items) => _items = items;

    /// <summary>The dimensions of a collection expression.</summary>
    public static Dims Create(ReadOnlySpan<int> items) => new(items.ToArray());

    /// <summary>One dimension.</summary>
    public static implicit operator Dims(int dim) => new([dim]);
    /// <summary>Several dimensions.</summary>
    public static implicit operator Dims(int[] dims) => new(dims);

    /// <summary>The dimensions in order.</summary>
    public IEnumerator<int> GetEnumerator() => ((IEnumerable<int>)_items).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
