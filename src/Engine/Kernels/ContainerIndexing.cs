using Ndif.Protocol;

namespace Ndif.Engine.Kernels;

/// <summary>Python's x[...] on tuples, lists, strings and dictionaries. Items are returned themselves, never copied.</summary>
internal static class ContainerIndexing
{
    public static object? Get(IReadOnlyList<object?> list, object? index, string op)
    {
        if (ToPosition(index, op) is { } position) return list[CheckPosition(position, list.Count, list is Array ? "tuple" : "list")];
        if (index is not SliceValue slice) throw InvalidIndex(list is Array ? "tuple" : "list", list, index);
        List<object?> items = [.. SliceIndices(slice, list.Count, op).Select(i => list[(int)i])];
        return list is Array ? items.ToArray() : items;
    }

    public static object? Get(string text, object? index, string op)
    {
        if (ToPosition(index, op) is { } position) return text[CheckPosition(position, text.Length, "string")].ToString();
        return index is SliceValue slice ? new string([.. SliceIndices(slice, text.Length, op).Select(i => text[(int)i])])
            : throw InvalidIndex("string", text, index);
    }

    /// <summary>Gets an entry by name, or by position as Hugging Face's ModelOutput.</summary>
    public static object? Get(IReadOnlyDictionary<string, object?> map, object? index, string op)
    {
        if (index is string key)
            return map.TryGetValue(key, out object? value) ? value
                : throw Errors.CreateException(ErrorCode.IndexOutOfRange, $"there is no entry '{key}'", Hint(map, key));
        if (ToPosition(index, op) is null && index is not SliceValue) throw InvalidIndex("dict", map, index);
        return Get(map.Values.ToArray(), index, op);
    }

    public static object? Set(object? container, object? index, object? value, string op)
    {
        switch (container)
        {
            case Array:
                throw Errors.CreateException(ErrorCode.BadArgument, "'tuple' object does not support item assignment",
                    "Edit the tensor in it: a module that returns a tuple has it as Hidden (`module.Hidden[..] = value`), and at "
                    + "Output[0] (`module.Output[0][..] = value`).");
            case IDictionary<string, object?> map when index is string key:
                map[key] = value;
                return container;
            case IList<object?> list when ToPosition(index, op) is { } position:
                list[CheckPosition(position, list.Count, "list")] = value;
                return container;
            default:
                throw Errors.CreateException(ErrorCode.BadArgument,
                    $"setitem_(): {Describe.Kind(container)} has no place for {Describe.Kind(index)}.");
        }
    }

    private static long? ToPosition(object? index, string op) => index is SliceValue ? null
        : Numbers.From(index is object?[] { Length: 1 } tuple ? tuple[0] : index, op) switch { long number => number, bool flag => flag ? 1
            : 0, _ => null };

    private static int CheckPosition(long position, int count, string what) => position >= -count && position < count
        ? (int)(position < 0 ? position + count : position)
        : throw Errors.CreateException(ErrorCode.IndexOutOfRange, $"{what} index out of range: index {position}, {count} items");

    private static IEnumerable<long> SliceIndices(SliceValue slice, long count, string op)
    {
        long step = Math.Clamp(SliceValue.ToInteger(slice.Step, op) ?? 1, -count - 1, count + 1);
        if (step == 0) throw Errors.CreateException(ErrorCode.BadArgument, "slice step cannot be zero");
        (long low, long high) = step > 0 ? (0, count) : (-1, count - 1);
        long start = ToPosition(slice.Start, step > 0 ? low : high), stop = ToPosition(slice.Stop, step > 0 ? high : low);
        for (long i = start; step > 0 ? i < stop : i > stop; i += step) yield return i;

        long ToPosition(object? bound, long defaultValue)
        {
            if (SliceValue.ToInteger(bound, op) is not { } position) return defaultValue;
            return Math.Clamp(position < 0 ? (position < -count ? -1 : position + count) : position, low, high);
        }
    }

    private static Exception InvalidIndex(string what, object container, object? index) => Errors.CreateException(ErrorCode.BadArgument,
        $"{what} indices must be {(what is "dict" ? "names, " : "")}integers or slices, not {Describe.Kind(index)}.",
        Describe.HintForTensorsIn(container));

    private static string Hint(IReadOnlyDictionary<string, object?> map, string key) =>
        Errors.DidYouMean(key, map.Keys) is { Length: > 0 } suggestion ? suggestion
        : $"The entries are {string.Join(", ", map.Keys.Take(20).Select(k => $"'{k}'"))}.";
}
