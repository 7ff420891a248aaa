using System.Collections;
using System.Numerics;

namespace Ndif.Tokenizers.Chat.Values;

/// <summary>A dictionary of Python: the keys are any values but lists and dictionaries, in the order of insertion.</summary>
internal sealed class MappingValue : IEnumerable<KeyValuePair<object?, object?>>
{
    private static readonly object _none = new();

    private readonly OrderedDictionary<object, object?> _entries = new(KeyComparer.Instance);

    public MappingValue(IEnumerable<KeyValuePair<object?, object?>>? entries = null)
    {
        foreach (var (key, value) in entries ?? []) this[key] = value;
    }

    public int Count => _entries.Count;

    public IEnumerable<object?> Keys => _entries.Keys.Select(FromKey);

    public object? this[object? key]
    {
        set => _entries[key ?? _none] = value;
    }

    public bool TryGetValue(object? key, out object? value) => _entries.TryGetValue(key ?? _none, out value);

    public bool ContainsKey(object? key) => _entries.ContainsKey(key ?? _none);

    public IEnumerator<KeyValuePair<object?, object?>> GetEnumerator() =>
        _entries.Select(entry => new KeyValuePair<object?, object?>(FromKey(entry.Key), entry.Value)).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private static object? FromKey(object key) => ReferenceEquals(key, _none) ? null : key;

    /// <summary>Compares keys as Python does: 1, 1.0 and true are the same key.</summary>
    internal sealed class KeyComparer : IEqualityComparer<object>
    {
        public static readonly KeyComparer Instance = new();

        public new bool Equals(object? x, object? y) => ReferenceEquals(x, y) || TemplateValues.AreEqual(x, y);

        public int GetHashCode(object value) => value switch
        {
            bool boolean => (boolean ? 1L : 0L).GetHashCode(),
            double real when Math.Abs(real) < 9e18 && real == Math.Floor(real) => ((long)real).GetHashCode(),
            MarkupValue markup => markup.Text.GetHashCode(StringComparison.Ordinal),
            string text => text.GetHashCode(StringComparison.Ordinal),
            TupleValue tuple => tuple.Items.Aggregate(7, (hash, item) => HashCode.Combine(hash, GetHashCode(item ?? _none))),
            long or double or BigInteger => value.GetHashCode(),
            UndefinedValue => 0,
            List<object?> or MappingValue or DictionaryView { Kind: not DictionaryViewKind.Values } =>
                throw new ChatTemplateException($"{TemplateValues.DescribeType(value)} cannot be a key of a dictionary or compared by " +
                    $"hash"),
            _ => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(value),
        };
    }
}
