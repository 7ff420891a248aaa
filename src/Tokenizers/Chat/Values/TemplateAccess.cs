using System.Numerics;

namespace Ndif.Tokenizers.Chat.Values;

/// <summary>Reads attributes, items and slices of values, and calls functions.</summary>
/// <remarks>jinja2/sandbox.py, getattr, getitem and call</remarks>
internal static class TemplateAccess
{
    /// <summary><c>target.name</c>: an attribute, or else an item.</summary>
    public static object? GetAttribute(object? target, string name)
    {
        RequireDefined(target, name);
        if (FindAttribute(target, name) is { } attribute) return attribute is Found found ? found.Value : attribute;
        return target is MappingValue map && map.TryGetValue(name, out object? value) ? value : UndefinedValue.OfItem(target, name);
    }

    /// <summary><c>target[key]</c>: an item, or else an attribute.</summary>
    public static object? GetItem(object? target, object? key)
    {
        RequireDefined(target, key);
        if (target is MappingValue map)
        {
            // A list or dictionary as key is undefined, as any key that is not there.
            if (key is not (List<object?> or MappingValue or DictionaryView) && map.TryGetValue(key, out object? value)) return value;
        }
        else if (ToIndex(key) is { } index && Length(target) is { } count)
        {
            if (index < 0) index += count;
            if (index >= 0 && index < count) return ItemAt(target!, (int)index);
        }
        return key is string name && FindAttribute(target, name) is { } attribute
            ? attribute is Found found ? found.Value : attribute : UndefinedValue.OfItem(target, key);
    }

    /// <summary>Whether a value is a sequence, or an undefined value, of which a slice is an error of its own.</summary>
    public static bool CanSlice(object? target) => target is UndefinedValue || Length(target) is not null;

    /// <summary><c>target[start:stop:step]</c></summary>
    public static object? Slice(object? target, object? start, object? stop, object? step)
    {
        RequireDefined(target, null);
        if (Length(target) is not { } count) throw new ChatTemplateException($"{TemplateValues.DescribeType(target)} cannot be sliced");
        long by = ToBound(step) ?? 1;
        if (by == 0) throw new ChatTemplateException("the step of a slice must not be zero");
        long first = Normalize(ToBound(start), by > 0 ? 0 : count - 1), end = Normalize(ToBound(stop), by > 0 ? count : -1);
        if (target is RangeValue range)
            return new RangeValue(range.Start + first * range.Step, range.Start + end * range.Step, range.Step * by);
        List<int> indices = [];
        for (long i = first; by > 0 ? i < end : i > end; i += by) indices.Add((int)i);
        return target switch
        {
            string text => SliceText(text),
            MarkupValue markup => new MarkupValue(SliceText(markup.Text)),
            TupleValue tuple => new TupleValue([.. indices.Select(i => tuple.Items[i])]),
            _ => indices.Select(i => ((List<object?>)target!)[i]).ToList(),
        };

        string SliceText(string text)
        {
            if (by == 1 && indices.Count > 0) return CodePoints.Substring(text, indices[0], indices[^1] + 1);
            if (CodePoints.AreChars(text)) return string.Create(indices.Count, (text, indices), (span, state) =>
            {
                for (int i = 0; i < span.Length; i++) span[i] = state.text[state.indices[i]];
            });
            List<object?> items = [.. CodePoints.Split(text)];
            return string.Concat(indices.Select(i => items[i]));
        }

        // A negative bound counts from the end, and a bound outside of the list is moved to its end (Python's slice.indices).
        long Normalize(long? bound, long defaultBound)
        {
            if (bound is not { } index) return defaultBound;
            if (index < 0) index += count;
            return by > 0 ? Math.Clamp(index, 0, count) : Math.Clamp(index, -1, count - 1);
        }
    }

    /// <summary><c>target(arguments)</c></summary>
    public static object? Call(object? target, TemplateArguments arguments, RenderContext context) => target switch
    {
        TemplateFunction function => function(arguments, context),
        MacroValue macro => macro.Invoke(arguments),
        LoopValue loop => loop.Recurse(arguments),
        UndefinedValue undefined => throw new ChatTemplateException(undefined.Reason),
        _ => throw new ChatTemplateException($"{TemplateValues.DescribeType(target)} cannot be called"),
    };

    /// <summary>An attribute: a method, or a <see cref="Found"/> value; null if values of this type have no such attribute.</summary>
    public static object? FindAttribute(object? target, string name)
    {
        if (name.StartsWith("__", StringComparison.Ordinal) && name.EndsWith("__", StringComparison.Ordinal))
            return new UndefinedValue($"`{name}` is not safe for a template to read"); // Python's internals
        return target switch
        {
            string or MarkupValue => TextMethods.Find(target, name),
            List<object?> or TupleValue or MappingValue or RangeValue or DictionaryView => CollectionMethods.Find(target, name),
            long or BigInteger or bool or double => NumberMethods.Find(target, name),
            NamespaceValue space => space.Fields.TryGetValue(name, out object? field)
                ? name.StartsWith('_') ? new UndefinedValue($"`{name}` is private") : Wrap(field) : null,
            LoopValue loop => Wrap(loop.GetAttribute(name)),
            MacroValue macro => Wrap(macro.GetAttribute(name)),
            CyclerValue cycler => name switch
            {
                "current" => Wrap(cycler.Current),
                "next" => Method((arguments, _) => { arguments.Bind("next"); return cycler.Next(); }),
                "reset" => Method((arguments, _) => { arguments.Bind("reset"); cycler.Reset(); return null; }),
                _ => null,
            },
            _ => null,
        };
    }

    /// <summary>Wraps the value of an attribute, which can be null.</summary>
    public static Found Wrap(object? value) => new(value);

    private static TemplateFunction Method(TemplateFunction function) => function;

    private static void RequireDefined(object? target, object? key)
    {
        if (target is UndefinedValue undefined)
            throw new ChatTemplateException(key is null ? undefined.Reason
                : $"{undefined.Reason}, so it has no '{TemplateValues.AsText(key) ?? TemplateValues.DescribeKey(key)}'");
    }

    private static long? Length(object? target) =>
        target is string or MarkupValue or List<object?> or TupleValue or RangeValue ? TemplateValues.Length(target) : null;

    private static object? ItemAt(object target, int index) => target switch
    {
        string text => CodePoints.Substring(text, index, index + 1),
        MarkupValue markup => new MarkupValue(CodePoints.Substring(markup.Text, index, index + 1)),
        TupleValue tuple => tuple.Items[index],
        RangeValue range => range[index],
        _ => ((List<object?>)target)[index],
    };

    private static long? ToIndex(object? key) => key switch { bool boolean => boolean ? 1 : 0, long integer => integer, _ => null };

    private static long? ToBound(object? bound) => bound switch
    {
        null => null,
        bool boolean => boolean ? 1 : 0,
        long integer => Math.Clamp(integer, -int.MaxValue, int.MaxValue),
        BigInteger large => large.Sign * (long)int.MaxValue,
        _ => throw new ChatTemplateException($"a bound of a slice must be a whole number, not {TemplateValues.DescribeType(bound)}"),
    };

    /// <summary>The value of an attribute that is not a method.</summary>
    internal sealed record Found(object? Value);
}
