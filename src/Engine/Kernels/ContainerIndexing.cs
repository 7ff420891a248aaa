using Ndif.Protocol;

namespace Ndif.Engine.Kernels;

/// <summary>Python's x[...] on tuples, lists, texts and maps. Items come back as they are, never copied.</summary>
internal static class ContainerIndexing
{
    public static object? Get(IReadOnlyList<object?> list, object? index, string op)
    {
        if (ToPosition(index, op) is { } position) return list[CheckPosition(position, list.Count, list is Array ? "tuple" : "list")];
        if (index is not SliceValue slice) throw InvalidIndex(list is Array ? "tuple" : "list", index);
        List<object?> items = [.. SliceIndices(slice, list.Count, op).Select(i => list[(int)i])];
        return list is Array ? items.ToArray() : items;
    }

    public static object? Get(string text, object? index, string op)
    {
        if (ToPosition(index, op) is { } position) return text[CheckPosition(position, text.Length, "string")].ToString();
        return index is SliceValue slice ? new string([.. SliceIndices(slice, text.Length, op).Select(i => text[(int)i])]) : throw InvalidIndex("string", index);
    }

    /// <summary>By name, or as Hugging Face's ModelOutput by position.</summary>
    public static object? Get(IReadOnlyDictionary<string, object?> map, object? index, string op)
    {
        if (index is string key)
            return map.TryGetValue(key, out object? value) ? value
                : throw Errors.CreateException(ErrorCode.IndexOutOfRange, $"there is no entry '{key}'", Hint(map, key));
        return Get(map.Values.ToArray(), index, op);
    }

    public static object? Set(object? container, object? index, object? value, string op)
    {
        switch (container)
        {
            case Array:
                throw Errors.CreateException(ErrorCode.BadArgument, "'tuple' object does not support item assignment", "Change the tensor inside it in place, or replace the whole tuple.");
            case IDictionary<string, object?> map when index is string key:
                map[key] = value;
                return container;
            case IList<object?> list when ToPosition(index, op) is { } position:
                list[CheckPosition(position, list.Count, "list")] = value;
                return container;
            default:
                throw Errors.CreateException(ErrorCode.BadArgument, $"setitem_(): {Describe.Kind(container)} has no place for {Describe.Kind(index)}.");
        }
    }

    private static long? ToPosition(object? index, string op) =>
        index is SliceValue ? null : Numbers.From(index is object?[] { Length: 1 } one ? one[0] : index, op) switch { long number => number, bool flag => flag ? 1 : 0, _ => null };

    private static int CheckPosition(long position, int count, string what) => position >= -count && position < count
        ? (int)(position < 0 ? position + count : position)
        : throw Errors.CreateException(ErrorCode.IndexOutOfRange, $"{what} index out of range: index {position}, {count} items");

    private static IEnumerable<long> SliceIndices(SliceValue slice, long count, string op)
    {
        long step = Math.Clamp(ToBound(slice.Step, 1, op), -count - 1, count + 1);
        if (step == 0) throw Errors.CreateException(ErrorCode.BadArgument, "slice step cannot be zero");
        (long low, long high) = step > 0 ? (0, count) : (-1, count - 1);
        long start = Place(slice.Start, step > 0 ? low : high), stop = Place(slice.Stop, step > 0 ? high : low);
        for (long i = start; step > 0 ? i < stop : i > stop; i += step) yield return i;

        long Place(object? bound, long otherwise)
        {
            if (bound is null) return otherwise;
            long place = ToBound(bound, 0, op);
            return Math.Clamp(place < 0 ? (place < -count ? -1 : place + count) : place, low, high);
        }
    }

    private static long ToBound(object? bound, long otherwise, string op) => bound is null ? otherwise : Numbers.From(bound, op) switch
    {
        long number => number,
        bool flag => flag ? 1 : 0,
        _ => throw Errors.CreateException(ErrorCode.BadArgument, $"slice indices must be integers or None, not {Describe.Kind(bound)}."),
    };

    private static Exception InvalidIndex(string what, object? index) =>
        Errors.CreateException(ErrorCode.BadArgument, $"{what} indices must be integers or slices, not {Describe.Kind(index)}.");

    private static string Hint(IReadOnlyDictionary<string, object?> map, string key) =>
        Errors.DidYouMean(key, map.Keys) is { Length: > 0 } near ? near : $"The entries are {string.Join(", ", map.Keys.Take(20).Select(k => $"'{k}'"))}.";
}
