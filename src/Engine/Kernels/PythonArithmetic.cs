using Ndif.Protocol;

namespace Ndif.Engine.Kernels;

/// <summary>Python's arithmetic on plain numbers (long, double, bool). An integer result that does not fit 64 bits is an error.</summary>
internal static class PythonArithmetic
{
    public static readonly Func<object, object, object> Add = Arithmetic("add", (x, y) => checked(x + y), (x, y) => x + y);
    public static readonly Func<object, object, object> Sub = Arithmetic("sub", (x, y) => checked(x - y), (x, y) => x - y);
    public static readonly Func<object, object, object> Mul = Arithmetic("mul", (x, y) => checked(x * y), (x, y) => x * y);
    public static readonly Func<object, object, object> Div = (x, y) => Numbers.ToDouble(x) / Numbers.ToDouble(y);
    public static readonly Func<object, object, object> FloorDivide =
        Arithmetic("floor_divide", FloorDivideIntegers, (x, y) => Math.Floor(x / y));
    public static readonly Func<object, object, object> TruncDivide =
        Arithmetic("div", (x, y) => checked(x / y), (x, y) => Math.Truncate(x / y));
    public static readonly Func<object, object, object> Remainder = Arithmetic("remainder", FloorRemainder, FloorRemainder);
    public static readonly Func<object, object, object> Fmod = Arithmetic("fmod", (x, y) => y == -1 ? 0 : x % y, (x, y) => x % y);
    public static readonly Func<object, object, object> Pow = Arithmetic("pow", PowerOfIntegers, Math.Pow);
    public static readonly Func<object, object, object> Max = Arithmetic("maximum", Math.Max, Math.Max);
    public static readonly Func<object, object, object> Min = Arithmetic("minimum", Math.Min, Math.Min);
    public static readonly Func<object, object, object> And = Bitwise((x, y) => x & y);
    public static readonly Func<object, object, object> Or = Bitwise((x, y) => x | y);
    public static readonly Func<object, object, object> Xor = Bitwise((x, y) => x ^ y);
    public static readonly Func<object, object, object> Equal = Comparison(c => c == 0, ofNaN: false);
    public static readonly Func<object, object, object> NotEqual = Comparison(c => c != 0, ofNaN: true);
    public static readonly Func<object, object, object> Less = Comparison(c => c < 0, ofNaN: false);
    public static readonly Func<object, object, object> LessOrEqual = Comparison(c => c <= 0, ofNaN: false);
    public static readonly Func<object, object, object> Greater = Comparison(c => c > 0, ofNaN: false);
    public static readonly Func<object, object, object> GreaterOrEqual = Comparison(c => c >= 0, ofNaN: false);

    private static Func<object, object, object> Arithmetic(string op, Func<long, long, long> integers,
        Func<double, double, double> reals) => (left, right) =>
    {
        if (left is double || right is double) return reals(Numbers.ToDouble(left), Numbers.ToDouble(right));
        try
        {
            return integers(Numbers.ToLong(left), Numbers.ToLong(right));
        }
        catch (DivideByZeroException e)
        {
            throw Errors.CreateException(ErrorCode.OpFailed, $"{op}: {left} divided by zero", inner: e);
        }
        catch (OverflowException e)
        {
            throw Errors.CreateException(ErrorCode.OpFailed, $"{op}: the result of {left} and {right} does not fit 64 bits", inner: e);
        }
    };

    private static Func<object, object, object> Comparison(Func<int, bool> holds, bool ofNaN) => (left, right) =>
        left is double || right is double
            ? double.IsNaN(Numbers.ToDouble(left)) || double.IsNaN(Numbers.ToDouble(right)) ? ofNaN
            : holds(Numbers.ToDouble(left).CompareTo(Numbers.ToDouble(right)))
            : holds(Numbers.ToLong(left).CompareTo(Numbers.ToLong(right)));

    /// <summary>A bitwise operation; the result for two bools is a bool.</summary>
    private static Func<object, object, object> Bitwise(Func<long, long, long> operation) => (x, y) =>
        x is double || y is double ? throw Errors.CreateException(ErrorCode.BadArgument, "The bits of a float cannot be combined.")
        : x is bool && y is bool ? operation(Numbers.ToLong(x), Numbers.ToLong(y)) != 0
        : operation(Numbers.ToLong(x), Numbers.ToLong(y));

    /// <summary>Integer division that rounds towards minus infinity, as Python's //.</summary>
    private static long FloorDivideIntegers(long a, long b)
    {
        long quotient = checked(a / b);
        return b != -1 && a % b != 0 && ((a < 0) != (b < 0)) ? quotient - 1 : quotient;
    }

    /// <summary>The remainder with the sign of the divisor, as Python's %.</summary>
    private static long FloorRemainder(long a, long b)
    {
        if (b == -1) return 0;
        long rest = a % b;
        return rest != 0 && ((rest < 0) != (b < 0)) ? rest + b : rest;
    }

    private static double FloorRemainder(double a, double b)
    {
        double rest = a % b;
        return rest != 0 && ((rest < 0) != (b < 0)) ? rest + b : rest;
    }

    private static long PowerOfIntegers(long value, long exponent)
    {
        if (exponent < 0)
            throw Errors.CreateException(ErrorCode.OpFailed, "pow: integers to negative integer powers are not allowed",
                "Make one of them a float.");
        long result = 1;
        for (long square = value; exponent > 0; exponent >>= 1)
        {
            if ((exponent & 1) != 0) result = checked(result * square);
            if (exponent > 1) square = checked(square * square);
        }
        return result;
    }
}
