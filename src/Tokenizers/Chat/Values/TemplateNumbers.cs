using System.Globalization;
using System.Numerics;

namespace Ndif.Tokenizers.Chat.Values;

/// <summary>Python's arithmetic: whole numbers of any size, and division that rounds down.</summary>
internal static class TemplateNumbers
{
    /// <summary>The largest size of a whole number. Python prints no number with more than 4300 digits.</summary>
    private const long MaxBits = 14_285;

    public static bool IsNumber(object? value) => value is long or double or bool or BigInteger;

    public static bool IsInteger(object? value) => value is long or bool or BigInteger;

    public static BigInteger ToBigInteger(object value) => value switch
    {
        bool boolean => boolean ? 1 : 0,
        long integer => integer,
        _ => (BigInteger)value,
    };

    public static double ToDouble(object value)
    {
        double real = value switch { bool boolean => boolean ? 1 : 0, long integer => integer, double r => r,
            _ => RoundLarge((BigInteger)value) };
        return double.IsInfinity(real) && value is not double ? throw new ChatTemplateException("a number is too large for a float") : real;
    }

    /// <summary>Returns a whole number as a long if it fits.</summary>
    public static object Normalize(BigInteger value)
    {
        if (value >= long.MinValue && value <= long.MaxValue) return (long)value;
        return value.GetBitLength() <= MaxBits ? value : throw new ChatTemplateException("a number has more than 4300 digits");
    }

    public static object ParseLiteral(string literal)
    {
        (int radix, string digits) = literal.Length > 1 && !char.IsAsciiDigit(literal[1])
            ? (char.ToLowerInvariant(literal[1]) switch { 'x' => 16, 'o' => 8, _ => 2 }, literal[2..]) : (10, literal);
        return ParseDigits(digits, radix) ?? throw new ChatTemplateException($"the number {literal} is not understood");
    }

    /// <summary>Returns the whole number of digits, or null if a char is no digit of the radix.</summary>
    public static object? ParseDigits(string digits, int radix)
    {
        if (digits.Length is 0 or > 4300) return null;
        if (radix == 10 && digits.All(char.IsAsciiDigit)) return Normalize(BigInteger.Parse(digits, CultureInfo.InvariantCulture));
        BigInteger value = 0;
        foreach (char c in digits)
        {
            int digit = char.IsAsciiDigit(c) ? c - '0' : char.IsAsciiLetter(c) ? char.ToLowerInvariant(c) - 'a' + 10
                : char.IsDigit(c) ? (int)char.GetNumericValue(c) : radix;
            if (digit >= radix) return null;
            value = value * radix + digit;
        }
        return Normalize(value);
    }

    /// <summary>Compares exactly, also a float with a whole number that no float can represent. Nan equals nothing.</summary>
    public static int Compare(object left, object right)
    {
        if (left is long x && right is long y) return x.CompareTo(y);
        if (left is double a && right is double b) return double.IsNaN(a) || double.IsNaN(b) ? 2 : a.CompareTo(b);
        if (left is double real) return double.IsNaN(real) ? 2 : -CompareWithReal(ToBigInteger(right), real);
        if (right is double other) return double.IsNaN(other) ? 2 : CompareWithReal(ToBigInteger(left), other);
        return ToBigInteger(left).CompareTo(ToBigInteger(right));
    }

    private static int CompareWithReal(BigInteger integer, double real)
    {
        if (double.IsInfinity(real)) return real > 0 ? -1 : 1;
        double floor = Math.Floor(real);
        int order = integer.CompareTo(new BigInteger(floor));
        return order == 0 && real > floor ? -1 : order;
    }

    public static object Negate(object value) => value is double real ? -real : Normalize(-ToBigInteger(value));

    /// <summary>Computes a binary operator on two numbers.</summary>
    public static object Compute(string op, object left, object right)
    {
        if (left is double || right is double) return op == "**" ? PowerOfReals(ToDouble(left), ToDouble(right))
            : ComputeReal(op, ToDouble(left), ToDouble(right));
        BigInteger a = ToBigInteger(left), b = ToBigInteger(right);
        return op switch
        {
            "+" => Normalize(a + b),
            "-" => Normalize(a - b),
            "*" => Normalize(a * b),
            "/" => b.IsZero ? throw CreateDivisionException() : Divide(a, b),
            "//" => b.IsZero ? throw CreateDivisionException() : Normalize(FloorDivide(a, b)),
            "%" => b.IsZero ? throw CreateDivisionException() : Normalize(a - b * FloorDivide(a, b)),
            _ => b.Sign < 0 ? PowerOfReals(ToDouble(left), ToDouble(right)) : Power(a, b),
        };
    }

    private static object Power(BigInteger a, BigInteger b)
    {
        if (BigInteger.Abs(a) <= 1) return a.IsZero ? b.IsZero ? 1L : 0L : a.IsOne || b.IsEven ? 1L : -1L;
        if (b > MaxBits || (a.GetBitLength() - 1) * (long)b > MaxBits)
            throw new ChatTemplateException("a number has more than 4300 digits");
        return Normalize(BigInteger.Pow(a, (int)b));
    }

    private static double Divide(BigInteger a, BigInteger b)
    {
        if (BigInteger.Abs(a) <= 1L << 53 && BigInteger.Abs(b) <= 1L << 53) return (double)a / (double)b;
        // Correctly rounded: scale the quotient to 66 bits or more, with a sticky bit, so that the conversion rounds once.
        int shift = (int)Math.Max(0, 66 - (a.GetBitLength() - b.GetBitLength()));
        BigInteger quotient = BigInteger.DivRem(BigInteger.Abs(a) << shift, BigInteger.Abs(b), out BigInteger rest);
        double scaled = RoundToDouble(rest.IsZero ? quotient : quotient | 1);
        double result = Math.ScaleB(scaled, -shift) * (a.Sign * b.Sign);
        return double.IsInfinity(result) ? throw new ChatTemplateException("a number is too large for a float") : result;
    }

    /// <summary>The nearest float. The conversion of .NET rounds towards zero.</summary>
    private static double RoundLarge(BigInteger value) => RoundToDouble(BigInteger.Abs(value)) * value.Sign;

    private static double RoundToDouble(BigInteger value)
    {
        int excess = (int)Math.Max(0, (long)value.GetBitLength() - 53);
        if (excess == 0) return (double)value;
        BigInteger kept = value >> excess, rest = value - (kept << excess), half = BigInteger.One << (excess - 1);
        if (rest > half || (rest == half && !kept.IsEven)) kept++;
        return Math.ScaleB((double)kept, excess);
    }

    private static BigInteger FloorDivide(BigInteger a, BigInteger b)
    {
        BigInteger quotient = BigInteger.DivRem(a, b, out BigInteger rest);
        return !rest.IsZero && rest.Sign != b.Sign ? quotient - 1 : quotient;
    }

    private static double ComputeReal(string op, double a, double b)
    {
        switch (op)
        {
            case "+": return a + b;
            case "-": return a - b;
            case "*": return a * b;
        }
        if (b == 0) throw CreateDivisionException();
        if (op == "/") return a / b;
        double rest = a % b; // as fmod of C
        double quotient = (a - rest) / b;
        if (rest != 0 && b < 0 != rest < 0) (rest, quotient) = (rest + b, quotient - 1);
        else if (rest == 0) rest = Math.CopySign(0, b);
        if (op == "%") return rest;
        if (quotient == 0) return Math.CopySign(0, a / b);
        double floor = Math.Floor(quotient);
        return quotient - floor > 0.5 ? floor + 1 : floor;
    }

    private static double PowerOfReals(double a, double b)
    {
        if (a == 0 && b < 0) throw CreateDivisionException();
        if (a < 0 && double.IsFinite(a) && double.IsFinite(b) && b != Math.Floor(b))
            throw new ChatTemplateException("a power of a negative number would be a complex number, which is not supported");
        double power = Math.Pow(a, b);
        return double.IsInfinity(power) && double.IsFinite(a) && double.IsFinite(b)
            ? throw new ChatTemplateException("a number is too large") : power;
    }

    private static ChatTemplateException CreateDivisionException() => new("a number is divided by zero");
}
