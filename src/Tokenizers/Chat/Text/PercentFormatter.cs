using System.Globalization;
using System.Numerics;
using System.Text;

namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Formats a text with %: the operator % of strings, and the filter format.</summary>
/// <remarks>docs.python.org/3/library/stdtypes.html#printf-style-string-formatting</remarks>
internal sealed class PercentFormatter
{
    private readonly string _format;
    private readonly object? _value;
    private readonly IReadOnlyList<object?> _values;
    private readonly bool _escapes;
    private readonly RenderBudget _budget;
    private int _position, _used;

    private PercentFormatter(string format, object? value, bool escapes, RenderBudget budget)
    {
        (_format, _value, _escapes, _budget) = (format, value, escapes, budget);
        _values = value is TupleValue tuple ? tuple.Items : [value];
    }

    /// <param name="format">The format.</param>
    /// <param name="value">A value, a tuple of values, or a dictionary for names in parentheses.</param>
    /// <param name="context">The rendering.</param>
    /// <param name="escapes">True to escape the values for HTML, as a text that is marked as safe does.</param>
    public static string Format(string format, object? value, RenderContext context, bool escapes = false) =>
        context.Budget.CountOutput(new PercentFormatter(format, value, escapes, context.Budget).Run());

    private string Run()
    {
        StringBuilder text = new();
        while (_position < _format.Length)
        {
            char c = _format[_position++];
            if (c == '%') AppendValue(text);
            else text.Append(c);
        }
        bool mayBeUnused = _value is MappingValue or List<object?> or RangeValue or UndefinedValue;
        if (_used < _values.Count && !mayBeUnused) throw new ChatTemplateException("a format has fewer % than there are values");
        return text.ToString();
    }

    private void AppendValue(StringBuilder text)
    {
        object? keyed = null;
        bool hasKey = false;
        if (Peek() == '(')
        {
            (hasKey, keyed) = (true, FindKeyed(ReadKey()));
        }
        FormatSpec spec = new() { Fill = ' ', Align = '>' };
        for (; Peek() is '-' or '+' or ' ' or '#' or '0'; _position++)
        {
            spec = Peek() switch
            {
                '-' => spec with { Align = '<' },
                '+' => spec with { Sign = '+' },
                ' ' when spec.Sign != '+' => spec with { Sign = ' ' },
                '#' => spec with { IsAlternate = true },
                '0' => spec with { Fill = '0' },
                _ => spec,
            };
        }
        long? width = ReadSize(allowsNegative: true);
        if (width < 0) spec = spec with { Align = '<' };
        spec = spec with { Width = Math.Abs(width ?? 0) };
        if (Peek() == '.')
        {
            _position++;
            spec = spec with { Precision = Math.Max(0, ReadSize(allowsNegative: true) ?? 0) };
        }
        while (Peek() is 'h' or 'l' or 'L') _position++;
        char type = Peek();
        _position++;
        if (type == '\0') throw new ChatTemplateException("a format ends after %");
        if (type == '%')
        {
            text.Append('%');
            return;
        }
        object? value = hasKey ? keyed : TakeNext();
        string formatted = FormatValue(type, value, spec);
        _budget.CountOutput(spec.Width);
        text.Append(formatted);
    }

    private string FormatValue(char type, object? value, FormatSpec spec)
    {
        if (spec.Align == '<') spec = spec with { Fill = ' ' };
        else if (spec.Fill == '0') spec = spec with { Align = '=' };
        switch (type)
        {
            case 's' or 'r' or 'a':
                string text = type switch
                {
                    's' => TemplateValueFormatter.ToText(value),
                    'r' => TemplateValueFormatter.Repr(value),
                    _ => AsciiRepr(value),
                };
                if (_escapes) text = type == 's' && value is MarkupValue markup ? markup.Text : Markup.EscapeText(text);
                return FormatSpec.Pad(spec with { Fill = ' ', Align = spec.Align == '<' ? '<' : '>' },
                    FormatSpec.Cut(text, spec.Precision));
            case 'c':
                string character = value switch
                {
                    string single when CodePoints.Count(single) == 1 => single,
                    _ when TemplateNumbers.IsInteger(value) && TemplateNumbers.ToBigInteger(value!) is var code && code >= 0
                        && code <= 0x10ffff
                        && Rune.IsValid((int)code) => new Rune((int)code).ToString(),
                    _ => throw new ChatTemplateException("the format %c needs a character or its code"),
                };
                return FormatSpec.Pad(spec with { Fill = ' ', Align = spec.Align == '<' ? '<' : '>' }, character);
            case 'd' or 'i' or 'u' when TemplateNumbers.IsNumber(value):
                return FormatInteger(ToInteger(value!), 10, "", spec);
            case 'x' or 'X' or 'o' when TemplateNumbers.IsInteger(value):
                string formatted = FormatInteger(TemplateNumbers.ToBigInteger(value!), type == 'o' ? 8 : 16, type == 'o' ? "0o" : "0x",
                    spec);
                return type == 'X' ? formatted.ToUpperInvariant() : formatted;
            case 'e' or 'E' or 'f' or 'F' or 'g' or 'G' when TemplateNumbers.IsNumber(value):
                return spec.FormatReal(TemplateNumbers.ToDouble(value!), type, spec.Precision ?? 6);
            default:
                throw new ChatTemplateException("cdiuxXoeEfFgGsra".Contains(type)
                    ? $"the format %{type} does not go with {TemplateValues.DescribeType(value)}"
                        : $"the format %{type} is not understood");
        }
    }

    private static string AsciiRepr(object? value) => TemplateValueFormatter.Repr(value) is var text && Ascii.IsValid(text) ? text
        : TemplateValues.AsText(value) is { } content ? TemplateValueFormatter.Quote(content, isAscii: true)
        : throw new ChatTemplateException("the format %a is supported for texts only");

    private static string FormatInteger(BigInteger value, int radix, string prefix, FormatSpec spec)
    {
        string digits = FormatSpec.ToDigits(BigInteger.Abs(value), radix);
        if (spec.Precision is { } precision) digits = digits.PadLeft((int)Math.Min(precision, RenderBudget.MaxLength), '0');
        return spec.PadNumber(value.Sign < 0, spec.IsAlternate ? prefix : "", digits);
    }

    private static BigInteger ToInteger(object value) => value is not double real ? TemplateNumbers.ToBigInteger(value)
        : double.IsFinite(real) ? new BigInteger(Math.Truncate(real))
            : throw new ChatTemplateException("the format %d does not go with inf and nan");

    private char Peek() => _position < _format.Length ? _format[_position] : '\0';

    private string ReadKey()
    {
        int start = ++_position, depth = 1;
        for (; _position < _format.Length; _position++)
        {
            if (_format[_position] == '(') depth++;
            if (_format[_position] == ')' && --depth == 0) return _format[start.._position++];
        }
        throw new ChatTemplateException("a name in a format has no end )");
    }

    private object? FindKeyed(string key)
    {
        if (_value is not MappingValue map) throw new ChatTemplateException("a format with names needs a dictionary");
        return map.TryGetValue(key, out object? value) ? value
            : throw new ChatTemplateException($"a format needs the value '{key}', which is not there");
    }

    private object? TakeNext() => _used < _values.Count ? _values[_used++]
        : throw new ChatTemplateException("a format has more % than there are values");

    private long? ReadSize(bool allowsNegative)
    {
        if (Peek() == '*')
        {
            _position++;
            object? value = TakeNext();
            if (!TemplateNumbers.IsInteger(value) || TemplateNumbers.ToBigInteger(value!) is var size && (size > RenderBudget.MaxLength
                || size < (allowsNegative ? -RenderBudget.MaxLength : 0)))
                throw new ChatTemplateException("the * of a format needs a whole number that is not too large");
            return (long)TemplateNumbers.ToBigInteger(value!);
        }
        int start = _position;
        while (char.IsAsciiDigit(Peek())) _position++;
        return start == _position ? null
            : int.TryParse(_format.AsSpan(start, _position - start), CultureInfo.InvariantCulture, out int number)
                && number <= RenderBudget.MaxLength
                ? number : throw new ChatTemplateException("a width in a format is too large");
    }
}
