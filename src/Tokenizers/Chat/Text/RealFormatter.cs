using System.Globalization;
using System.Numerics;

namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Writes floats as Python does: repr() with the shortest digits, and the formats e, f and g with exact rounding.</summary>
internal static class RealFormatter
{
    private const int MaxPrecision = 1000;

    /// <summary>repr() of a float: the shortest digits that give the same float.</summary>
    public static string Repr(double value)
    {
        if (!double.IsFinite(value)) return FormatSpecial(value);
        (string digits, int exponent) = GetShortestDigits(value);
        string text = exponent is >= -4 and < 16 ? Layout(digits, exponent, true) : LayoutExponent(digits, exponent, "e");
        return double.IsNegative(value) ? "-" + text : text;
    }

    public static string FormatSpecial(double value) => double.IsNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";

    /// <summary>The shortest digits without a point, and the decimal exponent of the first one.</summary>
    private static (string Digits, int Exponent) GetShortestDigits(double value)
    {
        if (value == 0) return ("0", 0);
        string text = Math.Abs(value).ToString("E16", CultureInfo.InvariantCulture);
        string shortest = Math.Abs(value).ToString("R", CultureInfo.InvariantCulture);
        int mark = shortest.IndexOf('E');
        string digits = (mark < 0 ? shortest : shortest[..mark]).Replace(".", "", StringComparison.Ordinal).TrimStart('0').TrimEnd('0');
        int exponent = int.Parse(text.AsSpan(text.IndexOf('E') + 1), CultureInfo.InvariantCulture);
        // Rounding to 17 digits can raise the exponent (9.99...): the point of the shortest digits is exact.
        if (mark >= 0) exponent = int.Parse(shortest.AsSpan(mark + 1), CultureInfo.InvariantCulture);
        else
        {
            string whole = shortest.Split('.')[0];
            exponent = whole != "0" ? whole.Length - 1 : -(shortest[2..].Length - shortest[2..].TrimStart('0').Length) - 1;
        }
        return (digits, exponent);
    }

    private static string Layout(string digits, int exponent, bool needsPoint)
    {
        if (exponent < 0) return "0." + new string('0', -exponent - 1) + digits;
        if (digits.Length <= exponent + 1) return digits.PadRight(exponent + 1, '0') + (needsPoint ? ".0" : "");
        return digits[..(exponent + 1)] + "." + digits[(exponent + 1)..];
    }

    private static string LayoutExponent(string digits, int exponent, string mark, bool keepsPoint = false) =>
        digits[..1] + (digits.Length > 1 || keepsPoint ? "." + digits[1..] : "")
        + mark + (exponent < 0 ? "-" : "+") + Math.Abs(exponent).ToString("00", CultureInfo.InvariantCulture);

    /// <summary>Formats the absolute value as f, with the given number of digits after the point.</summary>
    public static string FormatFixed(double value, long precision, bool keepsPoint = false)
    {
        int places = CheckPrecision(precision);
        string digits = Round(Math.Abs(value), places).ToString(CultureInfo.InvariantCulture).PadLeft(places + 1, '0');
        return places == 0 ? digits + (keepsPoint ? "." : "") : digits[..^places] + "." + digits[^places..];
    }

    /// <summary>Formats the absolute value as e, with the given number of digits after the point.</summary>
    public static string FormatExponent(double value, long precision, bool keepsPoint = false)
    {
        (string digits, int exponent) = GetDigits(Math.Abs(value), CheckPrecision(precision) + 1);
        return LayoutExponent(digits, exponent, "e", keepsPoint);
    }

    /// <summary>Formats the absolute value as g, with the given number of significant digits.</summary>
    /// <param name="value">The value.</param>
    /// <param name="precision">The number of digits.</param>
    /// <param name="keepsZeros">True for the alternate form, which keeps zeros at the end.</param>
    /// <param name="needsPoint">True to write whole numbers with ".0", as str.format without a type does.</param>
    public static string FormatGeneral(double value, long precision, bool keepsZeros = false, bool needsPoint = false)
    {
        int count = Math.Max(1, CheckPrecision(precision));
        (string digits, int exponent) = GetDigits(Math.Abs(value), count);
        string kept = keepsZeros ? digits : digits.TrimEnd('0') is { Length: > 0 } trimmed ? trimmed : "0";
        if (exponent < -4 || exponent >= (needsPoint ? count - 1 : count)) return LayoutExponent(kept, exponent, "e", keepsZeros);
        string text = Layout(kept, exponent, needsPoint);
        return keepsZeros && !text.Contains('.') ? text + "." : text;
    }

    /// <summary>Python's round(value, precision), which rounds the exact decimal value half to even.</summary>
    public static double RoundTo(double value, long precision)
    {
        if (!double.IsFinite(value) || precision > 323) return value;
        if (precision < -308) return Math.CopySign(0, value);
        BigInteger rounded = precision >= 0 ? Round(Math.Abs(value), (int)precision) : RoundWhole(Math.Abs(value), (int)-precision);
        string text = precision >= 0 ? $"{rounded}E{-precision}" : rounded.ToString(CultureInfo.InvariantCulture);
        double result = double.Parse(text, CultureInfo.InvariantCulture);
        return double.IsInfinity(result) ? throw new ChatTemplateException("a rounded number is too large") : Math.CopySign(result, value);
    }

    private static BigInteger RoundWhole(double value, int zeros)
    {
        BigInteger unit = BigInteger.Pow(10, zeros);
        (BigInteger numerator, BigInteger denominator) = ToFraction(value);
        return DivideHalfEven(numerator, denominator * unit) * unit;
    }

    /// <summary>value * 10^places, rounded half to even.</summary>
    private static BigInteger Round(double value, int places)
    {
        (BigInteger numerator, BigInteger denominator) = ToFraction(value);
        return DivideHalfEven(numerator * BigInteger.Pow(10, places), denominator);
    }

    /// <summary>Exactly rounded significant digits, and the decimal exponent of the first one.</summary>
    private static (string Digits, int Exponent) GetDigits(double value, int count)
    {
        if (value == 0) return (new string('0', count), 0);
        int exponent = GetShortestDigits(value).Exponent;
        (BigInteger numerator, BigInteger denominator) = ToFraction(value);
        int places = count - 1 - exponent;
        BigInteger rounded = places >= 0 ? DivideHalfEven(numerator * BigInteger.Pow(10, places), denominator)
            : DivideHalfEven(numerator, denominator * BigInteger.Pow(10, -places));
        string digits = rounded.ToString(CultureInfo.InvariantCulture);
        return digits.Length > count ? (digits[..count], exponent + 1) : (digits, exponent);
    }

    private static (BigInteger Numerator, BigInteger Denominator) ToFraction(double value)
    {
        long bits = BitConverter.DoubleToInt64Bits(value);
        int exponent = (int)((bits >> 52) & 0x7ff);
        long mantissa = bits & 0xfffffffffffffL;
        if (exponent == 0) exponent++;
        else mantissa |= 1L << 52;
        exponent -= 1075;
        return exponent >= 0 ? (new BigInteger(mantissa) << exponent, BigInteger.One) : (mantissa, BigInteger.One << -exponent);
    }

    public static BigInteger DivideHalfEven(BigInteger numerator, BigInteger denominator)
    {
        BigInteger quotient = BigInteger.DivRem(numerator, denominator, out BigInteger rest);
        int order = (rest * 2).CompareTo(denominator);
        return order > 0 || (order == 0 && !quotient.IsEven) ? quotient + 1 : quotient;
    }

    private static int CheckPrecision(long precision) => precision is >= 0 and <= MaxPrecision ? (int)precision
        : throw new ChatTemplateException($"a number can have at most {MaxPrecision} digits after the point, not {precision}");
}
