using System.Collections;
using System.Runtime.CompilerServices;

namespace Ndif;

/// <summary>One or several whole numbers, such as sizes or dimensions. Each can be a deferred value: <c>[2, -1, x.Shape[^1]]</c>.</summary>
[CollectionBuilder(typeof(Ints), nameof(Create))]
public sealed class Ints : IEnumerable<Value>
{
    private readonly Value[] _items;

    private Ints(Value[] items) => _items = items;

    /// <summary>The numbers of a collection expression.</summary>
    public static Ints Create(ReadOnlySpan<Value> items) => new(items.ToArray());

    /// <summary>One number.</summary>
    public static implicit operator Ints(int number) => new([number]);
    /// <summary>One number.</summary>
    public static implicit operator Ints(long number) => new([number]);
    /// <summary>Several numbers.</summary>
    public static implicit operator Ints(int[] numbers) => new(Array.ConvertAll(numbers, n => (Value)n));
    /// <summary>Several numbers.</summary>
    public static implicit operator Ints(long[] numbers) => new(Array.ConvertAll(numbers, n => (Value)n));
    /// <summary>One deferred number, or a deferred list of numbers such as a shape.</summary>
    public static implicit operator Ints(Value value) => new([value]);

    /// <summary>The numbers as the argument of a node. A single deferred value stays alone, because it can be a list itself.</summary>
    internal object AsArgument() => _items is [{ Recorder: not null } only] ? only : _items;

    /// <summary>The numbers in order.</summary>
    public IEnumerator<Value> GetEnumerator() => ((IEnumerable<Value>)_items).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
