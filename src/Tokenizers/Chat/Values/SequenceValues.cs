namespace Ndif.Tokenizers.Chat.Values;

/// <summary>A tuple. The result of the filter groupby has names for its items.</summary>
internal sealed class TupleValue(IReadOnlyList<object?> items, IReadOnlyList<string>? names = null)
{
    public IReadOnlyList<object?> Items => items;

    public IReadOnlyList<string>? Names => names;
}

/// <summary>The result of <c>range()</c>.</summary>
internal sealed record RangeValue(long Start, long Stop, long Step)
{
    /// <summary>The largest number of items in the sandbox of Jinja.</summary>
    public const long MaxCount = 100_000;

    public long Count => Step > 0 ? Math.Max(0, (Stop - Start + Step - 1) / Step) : Math.Max(0, (Start - Stop - Step - 1) / -Step);

    public long this[long index] => Start + index * Step;

    public IEnumerable<object?> Items
    {
        get
        {
            for (long i = 0; i < Count; i++) yield return this[i];
        }
    }
}

internal enum DictionaryViewKind { Keys, Values, Items }

/// <summary>The result of <c>keys()</c>, <c>values()</c> or <c>items()</c> of a dictionary.</summary>
internal sealed record DictionaryView(MappingValue Mapping, DictionaryViewKind Kind)
{
    public IEnumerable<object?> Items => Kind switch
    {
        DictionaryViewKind.Keys => Mapping.Keys,
        DictionaryViewKind.Values => Mapping.Select(entry => entry.Value),
        _ => Mapping.Select(entry => (object?)new TupleValue([entry.Key, entry.Value])),
    };
}

/// <summary>
/// A generator or iterator of Python, for example the result of the filter map. Its items are computed when they are read, and can be
/// read once.
/// </summary>
internal sealed class IteratorValue(IEnumerable<object?> items)
{
    private readonly IEnumerator<object?> _items = items.GetEnumerator();

    /// <summary>The items that were not read yet.</summary>
    public IEnumerable<object?> Rest
    {
        get
        {
            while (_items.MoveNext()) yield return _items.Current;
        }
    }
}
