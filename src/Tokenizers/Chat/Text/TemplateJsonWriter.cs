using System.Globalization;
using System.Numerics;
using System.Text;

namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Writes values as Python's json.dumps() does.</summary>
/// <param name="isAscii">True to write other characters than those of ASCII as escape sequences.</param>
/// <param name="indent">The white space of one level; null for one line.</param>
/// <param name="itemSeparator">The text between two items.</param>
/// <param name="keySeparator">The text between a key and its value.</param>
/// <param name="sortsKeys">True to order the entries of dictionaries by key.</param>
/// <param name="budget">The limits of the rendering.</param>
internal sealed class TemplateJsonWriter(
    bool isAscii, string? indent, string itemSeparator, string keySeparator, bool sortsKeys, RenderBudget budget)
{
    private readonly StringBuilder _json = new();

    public string Write(object? value)
    {
        WriteValue(value, 0);
        return _json.ToString();
    }

    private void WriteValue(object? value, int level)
    {
        if (level > RenderBudget.MaxDepth) throw new ChatTemplateException("a value is nested too deeply");
        budget.CountStep();
        switch (value)
        {
            case null: _json.Append("null"); break;
            case bool boolean: _json.Append(boolean ? "true" : "false"); break;
            case long or BigInteger: _json.Append(TemplateValueFormatter.Repr(value)); break;
            case double real: _json.Append(FormatReal(real)); break;
            case string or MarkupValue: WriteString(TemplateValues.AsText(value)!); break;
            case List<object?> list: WriteItems('[', list, ']', level, WriteValue); break;
            case TupleValue tuple: WriteItems('[', tuple.Items, ']', level, WriteValue); break;
            case MappingValue map: WriteItems('{', GetEntries(map), '}', level, WriteEntry); break;
            default: throw new ChatTemplateException($"{TemplateValues.DescribeType(value)} cannot be written as JSON");
        }
    }

    private void WriteItems<T>(char open, IReadOnlyCollection<T> items, char close, int level, Action<T, int> write)
    {
        _json.Append(open);
        bool isFirst = true;
        foreach (T item in items)
        {
            if (!isFirst) _json.Append(itemSeparator);
            isFirst = false;
            WriteNewLine(level + 1);
            write(item, level + 1);
        }
        if (items.Count > 0) WriteNewLine(level);
        _json.Append(close);
    }

    private void WriteEntry(KeyValuePair<string, object?> entry, int level)
    {
        WriteString(entry.Key);
        _json.Append(keySeparator);
        WriteValue(entry.Value, level);
    }

    private List<KeyValuePair<string, object?>> GetEntries(MappingValue map)
    {
        IEnumerable<KeyValuePair<object?, object?>> entries = map;
        if (sortsKeys) entries = StableSort.Sort([.. map], entry => entry.Key, reverse: false);
        return [.. entries.Select(entry => new KeyValuePair<string, object?>(ToKey(entry.Key), entry.Value))];
    }

    private static string ToKey(object? key) => key switch
    {
        string or MarkupValue => TemplateValues.AsText(key)!,
        null => "null",
        bool boolean => boolean ? "true" : "false",
        double real => FormatReal(real),
        long or BigInteger => TemplateValueFormatter.Repr(key),
        _ => throw new ChatTemplateException($"{TemplateValues.DescribeType(key)} cannot be a key of a JSON object"),
    };

    private static string FormatReal(double real) =>
        double.IsNaN(real) ? "NaN" : double.IsInfinity(real) ? real > 0 ? "Infinity" : "-Infinity" : RealFormatter.Repr(real);

    private void WriteNewLine(int level)
    {
        if (indent is null) return;
        _json.Append('\n');
        budget.CountOutput((long)indent.Length * level);
        for (int i = 0; i < level; i++) _json.Append(indent);
    }

    private void WriteString(string text)
    {
        budget.CountOutput(text.Length);
        _json.Append('"');
        foreach (char c in text)
        {
            string? escaped = c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\b' => "\\b",
                '\f' => "\\f",
                _ => c < ' ' || (isAscii && c > '\u007e') ? "\\u" + ((int)c).ToString("x4", CultureInfo.InvariantCulture) : null,
            };
            if (escaped is null) _json.Append(c);
            else _json.Append(escaped);
        }
        _json.Append('"');
    }
}
