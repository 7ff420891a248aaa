using System.Collections;
using System.Runtime.CompilerServices;

namespace Ndif;

/// <summary>One or several whole numbers, such as sizes or dimensions; each may be a deferred value: <c>[2, -1, x.Shape[^1]]</c>.</summary>
[CollectionBuilder(typeof(Ints), nameof(Create))]
public sealed class Ints : IEnumerable<Value>
{
    private readonly Value[] _items;

    private Ints(Value[] items) => _items = items;

    public static Ints Create(ReadOnlySpan<Value> items) => new(items.ToArray());

    public static implicit operator Ints(int number) => new([number]);
    public static implicit operator Ints(long number) => new([number]);
    public static implicit operator Ints(int[] numbers) => new(Array.ConvertAll(numbers, n => (Value)n));
    public static implicit operator Ints(long[] numbers) => new(Array.ConvertAll(numbers, n => (Value)n));
    public static implicit operator Ints(Value value) => new([value]);

    /// <summary>A single deferred value may itself be a list of numbers, as a shape is.</summary>
    internal object AsArgument() => _items is [{ Recorder: not null } only] ? only : _items;

    public IEnumerator<Value> GetEnumerator() => ((IEnumerable<Value>)_items).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
