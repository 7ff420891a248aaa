using System.Globalization;
using System.Numerics;
using System.Text;

namespace Ndif.Tokenizers.Chat.Text;

/// <summary>The part of a format after the colon: <c>[[fill]align][sign][#][0][width][grouping][.precision][type]</c>.</summary>
/// <remarks>docs.python.org/3/library/string.html#format-specification-mini-language</remarks>
internal readonly record struct FormatSpec
{
    public FormatSpec()
    {
    }

    public Rune? FillRune { get; init; }

    public char Fill
    {
        get => FillRune is { IsBmp: true } rune ? (char)rune.Value : ' ';
        init => FillRune = new Rune(value);
    }

    /// <summary>&lt;, &gt;, ^ or =; null for the default of the type.</summary>
    public char? Align { get; init; }

    public char Sign { get; init; } = '-';

    public bool IsAlternate { get; init; }

    public long Width { get; init; }

    public char? Grouping { get; init; }

    public long? Precision { get; init; }

    public char? Type { get; init; }

    public static FormatSpec Parse(string text)
    {
        int i = 0;
        FormatSpec spec = new();
        int fillLength = text.Length > 1 && char.IsHighSurrogate(text[0]) ? 2 : 1;
        if (text.Length > fillLength && text[fillLength] is '<' or '>' or '^' or '=')
        {
            spec = spec with { FillRune = Rune.GetRuneAt(text, 0), Align = text[fillLength] };
            i = fillLength + 1;
        }
        else if (Peek() is '<' or '>' or '^' or '=') spec = spec with { Align = text[i++] };
        if (Peek() is '+' or '-' or ' ') spec = spec with { Sign = text[i++] };
        if (Peek() == 'z') throw new ChatTemplateException("the option z of a format is not supported");
        if (Peek() == '#')
        {
            spec = spec with { IsAlternate = true };
            i++;
        }
        if (Peek() == '0')
        {
            if (spec.FillRune is null) spec = spec with { FillRune = new Rune('0'), Align = spec.Align ?? '=', HasZero = true };
            i++;
        }
        spec = spec with { Width = ReadNumber() ?? 0 };
        if (Peek() is ',' or '_') spec = spec with { Grouping = text[i++] };
        if (Peek() == '.')
        {
            i++;
            spec = spec with { Precision = ReadNumber()
                ?? throw new ChatTemplateException($"the format '{text}' has no precision after the point") };
        }
        if (i < text.Length) spec = spec with { Type = text[i++] };
        return i == text.Length ? spec : throw new ChatTemplateException($"the format '{text}' is not understood");

        char Peek() => i < text.Length ? text[i] : '\0';

        long? ReadNumber()
        {
            int start = i;
            while (char.IsAsciiDigit(Peek())) i++;
            return start == i ? null : long.TryParse(text.AsSpan(start, i - start), CultureInfo.InvariantCulture, out long number)
                && number <= RenderBudget.MaxLength ? number : throw new ChatTemplateException("a width in a format is too large");
        }
    }

    /// <summary>True if the width begins with 0, which aligns texts on the left.</summary>
    public bool HasZero { get; init; }

    public string Format(object? value)
    {
        if (TemplateValues.AsText(value) is { } text) return FormatText(text);
        if (value is bool boolean && Type is null or 's' && this == new FormatSpec()) return boolean ? "True" : "False";
        if (TemplateNumbers.IsInteger(value)) return FormatInteger(value!);
        if (value is double real) return FormatReal(real, Type ?? '\0', Precision);
        throw new ChatTemplateException($"{TemplateValues.DescribeType(value)} cannot be formatted with a width or type");
    }

    private string FormatText(string text)
    {
        if (Type is not (null or 's') || Sign != '-' || IsAlternate || Grouping is not null || (Align == '=' && !HasZero))
            throw new ChatTemplateException("this format does not go with a text");
        return Pad(this with { Align = Align is null or '=' ? '<' : Align }, Cut(text, Precision));
    }

    private string FormatInteger(object value)
    {
        if (Type is 'e' or 'E' or 'f' or 'F' or 'g' or 'G' or '%') return FormatReal(TemplateNumbers.ToDouble(value), Type.Value,
            Precision);
        if (Precision is not null) throw new ChatTemplateException("a whole number is not formatted with a precision");
        BigInteger number = TemplateNumbers.ToBigInteger(value);
        if (Type == 'c')
        {
            if (Sign != '-' || IsAlternate || Grouping is not null || number < 0 || number > 0x10ffff || !Rune.IsValid((int)number))
                throw new ChatTemplateException("this format does not go with the type c");
            return Pad(this with { Align = Align ?? '<' }, new Rune((int)number).ToString());
        }
        (int radix, string prefix) = Type switch
        {
            null or 'd' or 'n' => (10, ""),
            'b' => (2, "0b"),
            'o' => (8, "0o"),
            'x' or 'X' => (16, "0x"),
            _ => throw new ChatTemplateException($"the format '{Type}' does not go with a whole number"),
        };
        if (Grouping == ',' && radix != 10) throw new ChatTemplateException("the format , needs a decimal number");
        string text = PadNumber(number.Sign < 0, IsAlternate ? prefix : "", ToDigits(BigInteger.Abs(number), radix), radix == 10 ? 3 : 4);
        return Type == 'X' ? text.ToUpperInvariant() : text;
    }

    /// <summary>Formats a float. The type \0 is that of str.format without a type.</summary>
    public string FormatReal(double value, char type, long? precision)
    {
        bool isPercent = type == '%';
        if (isPercent) value *= 100;
        string digits = !double.IsFinite(value) ? RealFormatter.FormatSpecial(Math.Abs(value)) : char.ToLowerInvariant(type) switch
        {
            'f' or '%' => RealFormatter.FormatFixed(value, precision ?? 6, IsAlternate),
            'e' => RealFormatter.FormatExponent(value, precision ?? 6, IsAlternate),
            'g' or 'n' => RealFormatter.FormatGeneral(value, precision ?? 6, IsAlternate),
            '\0' when precision is null => RealFormatter.Repr(Math.Abs(value)),
            '\0' => RealFormatter.FormatGeneral(value, precision.Value, IsAlternate, needsPoint: true),
            _ => throw new ChatTemplateException($"the format '{type}' does not go with a float"),
        };
        if (isPercent) digits += "%";
        string text = PadNumber(double.IsNegative(value) && !double.IsNaN(value), "", digits, 3);
        return type is 'E' or 'F' or 'G' ? text.ToUpperInvariant() : text;
    }

    public static string ToDigits(BigInteger value, int radix)
    {
        if (radix == 10) return value.ToString(CultureInfo.InvariantCulture);
        StringBuilder digits = new();
        for (; !value.IsZero; value /= radix) digits.Insert(0, "0123456789abcdef"[(int)(value % radix)]);
        return digits.Length == 0 ? "0" : digits.ToString();
    }

    /// <summary>Adds the sign, the prefix and the separators of groups, and fills up to the width.</summary>
    public string PadNumber(bool isNegative, string prefix, string digits, int groupSize = 3)
    {
        string sign = isNegative ? "-" : Sign == '-' ? "" : Sign.ToString();
        int wholeLength = digits.AsSpan().IndexOfAnyExcept("0123456789abcdefABCDEF".AsSpan()) is >= 0 and int end ? end : digits.Length;
        if (digits.Contains('e') && groupSize == 3) wholeLength = Math.Min(wholeLength, digits.AsSpan().IndexOfAny(".e"));
        string whole = digits[..wholeLength], rest = digits[wholeLength..];
        bool fillsInside = (Align ?? '>') == '=';
        if (Grouping is { } separator)
        {
            long minimum = fillsInside && Fill == '0' ? Width - sign.Length - prefix.Length - rest.Length : 0;
            whole = Group(whole, separator, groupSize, minimum);
        }
        string body = whole + rest;
        if (!fillsInside) return Pad(this with { Align = Align ?? '>' }, sign + prefix + body);
        long missing = Width - sign.Length - prefix.Length - body.Length;
        return sign + prefix + (missing > 0 ? Repeat(FillRune ?? new Rune(' '), missing) : "") + body;
    }

    private static string Group(string digits, char separator, int size, long minimum)
    {
        StringBuilder grouped = new();
        for (int count = 0; count < digits.Length || grouped.Length < minimum; count++)
        {
            if (count > 0 && count % size == 0) grouped.Insert(0, separator);
            grouped.Insert(0, count < digits.Length ? digits[^(count + 1)] : '0');
        }
        return grouped.ToString();
    }

    public static string Cut(string text, long? precision) =>
        precision is { } count && count < CodePoints.Count(text) ? CodePoints.Substring(text, 0, (int)count) : text;

    public static string Pad(FormatSpec spec, string text)
    {
        long missing = spec.Width - CodePoints.Count(text);
        if (missing <= 0) return text;
        long left = spec.Align switch { '>' => missing, '^' => missing / 2, _ => 0 };
        Rune fill = spec.FillRune ?? new Rune(' ');
        return Repeat(fill, left) + text + Repeat(fill, missing - left);
    }

    private static string Repeat(Rune fill, long count) => string.Concat(Enumerable.Repeat(fill.ToString(), (int)count));
}
