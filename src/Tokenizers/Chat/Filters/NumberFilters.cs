using System.Globalization;
using System.Numerics;

namespace Ndif.Tokenizers.Chat.Filters;

/// <summary>The filters that compute or read numbers.</summary>
/// <remarks>jinja2/filters.py</remarks>
internal static class NumberFilters
{
    public static Dictionary<string, TemplateFilter> All { get; } = new()
    {
        ["abs"] = (v, a, _) =>
        {
            a.Bind("abs");
            RequireNumber("abs", v);
            return v is double real ? Math.Abs(real) : TemplateNumbers.Normalize(BigInteger.Abs(TemplateNumbers.ToBigInteger(v!)));
        },
        ["int"] = ToInteger,
        ["float"] = ToFloat,
        ["round"] = Round,
    };

    private static object? ToInteger(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("int", "default=", "base=");
        object? defaultValue = bound.Get(0, 0L);
        if (value is UndefinedValue undefined) throw new ChatTemplateException(undefined.Reason);
        if (TemplateNumbers.IsInteger(value)) return TemplateNumbers.Normalize(TemplateNumbers.ToBigInteger(value!));
        if (TemplateValues.AsText(value) is { } text && ParseInteger(text, bound.Integer(1, 10)) is { } integer) return integer;
        return value is double or string or MarkupValue && ParseReal(value) is { } real && double.IsFinite(real)
            ? TemplateNumbers.Normalize(new BigInteger(Math.Truncate(real)))
            : value is double infinite && double.IsInfinity(infinite) ? throw new ChatTemplateException("inf is no whole number")
                : defaultValue;
    }

    /// <summary>Python's int() of a text, or null if the text is no whole number.</summary>
    private static object? ParseInteger(string text, long radix)
    {
        if (radix is not (0 or (>= 2 and <= 36))) return null;
        text = TextSplitter.Strip(text, null, true, true);
        bool isNegative = text.StartsWith('-');
        if (text.Length > 0 && text[0] is '-' or '+') text = text[1..];
        (char letter, int value) = text.Length > 1 && text[0] == '0' ? char.ToLowerInvariant(text[1]) switch
        {
            'x' => ('x', 16), 'o' => ('o', 8), 'b' => ('b', 2), _ => (' ', 0),
        } : (' ', 0);
        bool hasPrefix = letter != ' ' && (radix == 0 || radix == value);
        if (hasPrefix) text = text[2..];
        if (hasPrefix && text.StartsWith('_')) text = text[1..];
        if (text.StartsWith('_') || text.EndsWith('_') || text.Contains("__", StringComparison.Ordinal)) return null;
        text = text.Replace("_", "", StringComparison.Ordinal);
        if (radix == 0 && !hasPrefix && text.Length > 1 && text[0] == '0' && text.Any(c => c != '0')) return null;
        object? parsed = TemplateNumbers.ParseDigits(text, hasPrefix ? value : radix == 0 ? 10 : (int)radix);
        return parsed is null || !isNegative ? parsed : TemplateNumbers.Negate(parsed);
    }

    private static object? ToFloat(object? value, TemplateArguments arguments, RenderContext context)
    {
        object? defaultValue = arguments.Bind("float", "default=").Get(0, 0.0);
        if (value is UndefinedValue undefined) throw new ChatTemplateException(undefined.Reason);
        return ParseReal(value) ?? defaultValue;
    }

    /// <summary>Python's float(), or null if the value is no number.</summary>
    public static double? ParseReal(object? value)
    {
        if (TemplateNumbers.IsNumber(value)) return TemplateNumbers.ToDouble(value!);
        if (TemplateValues.AsText(value) is not { } text) return null;
        text = TextSplitter.Strip(text, null, true, true);
        string digits = text.TrimStart('+', '-').ToLowerInvariant();
        if (digits is "inf" or "infinity" or "nan" && text.Length - digits.Length <= 1)
            return digits == "nan" ? double.NaN : text.StartsWith('-') ? double.NegativeInfinity : double.PositiveInfinity;
        for (int i = 0; i < text.Length; i++)
            if (text[i] == '_' && !(i > 0 && i + 1 < text.Length && char.IsDigit(text[i - 1]) && char.IsDigit(text[i + 1]))) return null;
        text = string.Concat(text.Where(c => c != '_').Select(c => char.IsDigit(c) ? (char)('0' + (int)char.GetNumericValue(c)) : c));
        return text.Length > 0 && text.All(c => char.IsAsciiDigit(c) || c is '.' or 'e' or 'E' or '+' or '-')
            && double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double real) ? real : null;
    }

    private static object? Round(object? value, TemplateArguments arguments, RenderContext context)
    {
        BoundArguments bound = arguments.Bind("round", "precision=", "method=");
        string method = TemplateValues.AsText(bound.Get(1, "common")) ?? "";
        if (method is not ("common" or "ceil" or "floor"))
            throw new ChatTemplateException("the method of round must be common, ceil or floor");
        if (value is UndefinedValue undefined) throw new ChatTemplateException(undefined.Reason);
        RequireNumber("round", value);
        bool hasPrecision = !bound.Has(0) || bound[0] is not null;
        long precision = hasPrecision ? bound.Integer(0, 0) : 0;
        if (method == "common") return RoundCommon(value!, hasPrecision ? precision : null);
        if (!hasPrecision) throw new ChatTemplateException("the precision of round must be a whole number");
        object power = TemplateNumbers.Compute("**", 10L, precision);
        object scaled = TemplateNumbers.Compute("*", value!, power);
        if (scaled is double real)
        {
            if (!double.IsFinite(real)) throw new ChatTemplateException("inf and nan cannot be rounded to a whole number");
            scaled = TemplateNumbers.Normalize(new BigInteger(method == "ceil" ? Math.Ceiling(real) : Math.Floor(real)));
        }
        return TemplateNumbers.Compute("/", scaled, power);
    }

    private static object RoundCommon(object value, long? precision)
    {
        if (value is double real)
        {
            if (precision is { } digits) return RealFormatter.RoundTo(real, digits);
            return double.IsFinite(real) ? TemplateNumbers.Normalize(new BigInteger(Math.Round(real, MidpointRounding.ToEven)))
                : throw new ChatTemplateException("inf and nan cannot be rounded to a whole number");
        }
        BigInteger integer = TemplateNumbers.ToBigInteger(value);
        if (precision is not < 0) return TemplateNumbers.Normalize(integer);
        if (precision < -5000) return 0L;
        BigInteger unit = BigInteger.Pow(10, (int)-precision);
        return TemplateNumbers.Normalize(RealFormatter.DivideHalfEven(BigInteger.Abs(integer), unit) * unit * integer.Sign);
    }

    private static void RequireNumber(string filter, object? value)
    {
        if (!TemplateNumbers.IsNumber(value))
            throw new ChatTemplateException($"`{filter}` needs a number, not {TemplateValues.DescribeType(value)}");
    }
}
