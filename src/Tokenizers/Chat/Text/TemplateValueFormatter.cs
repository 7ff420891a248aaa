using System.Globalization;
using System.Numerics;
using System.Text;

namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Converts the values of a template to text, as Python's str() and repr() do.</summary>
internal static class TemplateValueFormatter
{
    /// <summary>Formats a value as Python's str(). This is how a template prints it.</summary>
    public static string ToText(object? value) => value switch
    {
        string text => text,
        MarkupValue markup => markup.Text,
        UndefinedValue => "",
        _ => Repr(value),
    };

    /// <summary>Formats a value as Python's repr().</summary>
    public static string Repr(object? value, int depth = 0)
    {
        if (depth > RenderBudget.MaxDepth) throw new ChatTemplateException("a value is nested too deeply");
        return value switch
        {
            null => "None",
            bool boolean => boolean ? "True" : "False",
            long or BigInteger => ((IFormattable)value).ToString(null, CultureInfo.InvariantCulture),
            double real => RealFormatter.Repr(real),
            string text => Quote(text),
            MarkupValue markup => $"Markup({Quote(markup.Text)})",
            TupleValue tuple => $"({ReprItems(tuple.Items, depth)}{(tuple.Items.Count == 1 ? "," : "")})",
            List<object?> list => $"[{ReprItems(list, depth)}]",
            MappingValue map => ReprEntries(map, depth),
            RangeValue range => range.Step == 1 ? $"range({range.Start}, {range.Stop})"
                : $"range({range.Start}, {range.Stop}, {range.Step})",
            DictionaryView view => $"dict_{ViewName(view.Kind)}([{ReprItems(view.Items, depth)}])",
            NamespaceValue space => $"<Namespace {ReprEntries(space.Fields, depth)}>",
            MacroValue macro => macro.Name.Length == 0 ? "<Macro anonymous>" : $"<Macro {Quote(macro.Name)}>",
            LoopValue loop => $"<LoopContext {loop.GetAttribute("index")}/{loop.Length}>",
            UndefinedValue => "Undefined",
            IteratorValue => throw new ChatTemplateException("an iterator cannot be printed; make a list of it first: | list"),
            _ => throw new ChatTemplateException($"{TemplateValues.DescribeType(value)} cannot be printed"),
        };
    }

    private static string ReprItems(IEnumerable<object?> items, int depth) =>
        string.Join(", ", items.Select(item => Repr(item, depth + 1)));

    private static string ReprEntries(MappingValue map, int depth) =>
        $"{{{string.Join(", ", map.Select(entry => $"{Repr(entry.Key, depth + 1)}: {Repr(entry.Value, depth + 1)}"))}}}";

    private static string ViewName(DictionaryViewKind kind) =>
        kind switch { DictionaryViewKind.Keys => "keys", DictionaryViewKind.Values => "values", _ => "items" };

    /// <summary>repr() of a string.</summary>
    public static string Quote(string text, bool isAscii = false)
    {
        char quote = text.Contains('\'') && !text.Contains('"') ? '"' : '\'';
        StringBuilder quoted = new(text.Length + 2);
        quoted.Append(quote);
        foreach (Rune rune in text.EnumerateRunes())
        {
            string? escaped = rune.Value switch
            {
                '\\' => @"\\",
                '\n' => @"\n",
                '\r' => @"\r",
                '\t' => @"\t",
                var c when c == quote => "\\" + quote,
                var c when PythonCharacters.IsPrintable(rune) && !(isAscii && c > 0x7e) => null,
                < 0x100 => $"\\x{rune.Value:x2}",
                < 0x10000 => $"\\u{rune.Value:x4}",
                _ => $"\\U{rune.Value:x8}",
            };
            quoted.Append(escaped ?? rune.ToString());
        }
        return quoted.Append(quote).ToString();
    }
}
