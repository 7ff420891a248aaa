using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Chat;

/// <summary>Converts the values of a template to text, as Python's str() and json.dumps() do.</summary>
internal static class TemplateValueFormatter
{
    /// <summary>Formats a value as Python's str(). This is how a template prints it.</summary>
    public static string ToText(object? value) => value switch
    {
        string text => text,
        UndefinedValue => "",
        _ => Repr(value, 0),
    };

    /// <summary>Formats a value as Python's repr().</summary>
    private static string Repr(object? value, int depth)
    {
        if (depth > RenderBudget.MaxDepth) throw new ChatTemplateException("a value is nested too deeply");
        return value switch
        {
            null => "None",
            bool boolean => boolean ? "True" : "False",
            long integer => integer.ToString(CultureInfo.InvariantCulture),
            double real => FormatReal(real),
            string text => QuoteString(text),
            TupleValue tuple => $"({ReprItems(tuple, depth)}{(tuple.Count == 1 ? "," : "")})",
            List<object?> list => $"[{ReprItems(list, depth)}]",
            Dictionary<string, object?> map =>
                $"{{{string.Join(", ", map.Select(entry => $"{QuoteString(entry.Key)}: {Repr(entry.Value, depth + 1)}"))}}}",
            UndefinedValue => "Undefined",
            _ => throw new ChatTemplateException($"{TemplateValues.DescribeType(value)} cannot be printed"),
        };
    }

    private static string ReprItems(List<object?> items, int depth) => string.Join(", ", items.Select(item => Repr(item, depth + 1)));

    private static string QuoteString(string text)
    {
        char quote = text.Contains('\'') && !text.Contains('"') ? '"' : '\'';
        string escaped = text
            .Replace("\\", @"\\", StringComparison.Ordinal)
            .Replace($"{quote}", $"\\{quote}", StringComparison.Ordinal)
            .Replace("\n", @"\n", StringComparison.Ordinal)
            .Replace("\r", @"\r", StringComparison.Ordinal)
            .Replace("\t", @"\t", StringComparison.Ordinal);
        return quote + escaped + quote;
    }

    private static string FormatReal(double value)
    {
        if (!double.IsFinite(value)) return double.IsNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
        string text = value.ToString("R", CultureInfo.InvariantCulture); // the shortest digits that round-trip, as in Python
        bool isFixedPoint = Math.Abs(value) is >= 1e-4 and < 1e16 or 0;
        if (isFixedPoint && text.Contains('E')) text = ((decimal)value).ToString(CultureInfo.InvariantCulture);
        if (isFixedPoint) return text.Contains('.') ? text : text + ".0";
        if (!text.Contains('E')) text = value.ToString("0.################E+0", CultureInfo.InvariantCulture);
        string[] mantissaAndExponent = text.Split('E');
        int exponent = int.Parse(mantissaAndExponent[1], CultureInfo.InvariantCulture);
        return $"{mantissaAndExponent[0]}e{(exponent < 0 ? "-" : "+")}{Math.Abs(exponent):00}";
    }

    /// <summary>Formats a value as json.dumps() with the settings of transformers' filter tojson: ensure_ascii is false.</summary>
    /// <param name="value">The value.</param>
    /// <param name="indent">The number of spaces per level; null for one line.</param>
    /// <param name="level">The nesting level of the value.</param>
    public static string ToJson(object? value, int? indent, int level = 0)
    {
        if (level > RenderBudget.MaxDepth) throw new ChatTemplateException("a value is nested too deeply");
        string itemStart = NewLine(level + 1), end = NewLine(level);
        string separator = indent is null ? ", " : ",";
        return value switch
        {
            null => "null",
            bool boolean => boolean ? "true" : "false",
            long or double => Repr(value, 0),
            string text => ToJsonString(text),
            List<object?> { Count: 0 } => "[]",
            Dictionary<string, object?> { Count: 0 } => "{}",
            List<object?> list =>
                "[" + string.Join(separator, list.Select(item => itemStart + ToJson(item, indent, level + 1))) + end + "]",
            Dictionary<string, object?> map => "{" + string.Join(separator, map.Select(entry =>
                $"{itemStart}{ToJsonString(entry.Key)}: {ToJson(entry.Value, indent, level + 1)}")) + end + "}",
            _ => throw new ChatTemplateException($"{TemplateValues.DescribeType(value)} cannot be written as JSON"),
        };

        string NewLine(int lineLevel) => indent is { } width ? "\n" + new string(' ', width * lineLevel) : "";
    }

    private static string ToJsonString(string text)
    {
        StringBuilder json = new("\"");
        foreach (char c in text)
        {
            json.Append(c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\b' => "\\b",
                '\f' => "\\f",
                < ' ' => $"\\u{(int)c:x4}",
                _ => c.ToString(),
            });
        }
        return json.Append('"').ToString();
    }
}
