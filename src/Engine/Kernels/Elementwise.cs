using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Engine.Kernels;

/// <summary>Operations on a tensor and a tensor, a tensor and a number, or two numbers, which give a number.</summary>
internal static class Elementwise
{
    /// <summary>Of one tensor or one number.</summary>
    public static object Unary(in OpArguments a, Func<Tensor, Tensor> tensor, Func<double, double> number) =>
        a.Operand(0) is Tensor self ? tensor(self) : number(Numbers.ToDouble(a.Number(0)));

    /// <summary>The same, where an integer stays one.</summary>
    public static object Unary(in OpArguments a, Func<Tensor, Tensor> tensor, Func<double, double> real, Func<long, long> integer) => a.Operand(0) switch
    {
        Tensor self => tensor(self),
        double number => real(number),
        object number => integer(Numbers.ToLong(number)),
    };

    /// <summary>
    /// Of two. A number on the right goes into <paramref name="scalar"/> if there is one; elsewhere it becomes a tensor that
    /// does not widen the other's type.
    /// </summary>
    public static object Binary(in OpArguments a, Func<Tensor, Tensor, Tensor> tensors, Func<Tensor, Scalar, Tensor>? scalar, Func<object, object, object> numbers)
    {
        object left = a.Operand(0), right = a.Operand(1);
        return (left, right) switch
        {
            (Tensor self, Tensor other) => tensors(self, other),
            (Tensor self, _) when scalar is not null => scalar(self, Numbers.ToScalar(right)),
            (Tensor self, _) => tensors(self, Numbers.Wrap(right, self, a.Context)),
            (_, Tensor other) => tensors(Numbers.Wrap(left, other, a.Context), other),
            _ => numbers(left, right),
        };
    }

    /// <summary>Of two numbers: exact for integers, which must not overflow.</summary>
    public static Func<object, object, object> Arithmetic(string op, Func<long, long, long> integers, Func<double, double, double> reals) => (left, right) =>
    {
        if (left is double || right is double) return reals(Numbers.ToDouble(left), Numbers.ToDouble(right));
        try
        {
            return integers(Numbers.ToLong(left), Numbers.ToLong(right));
        }
        catch (DivideByZeroException e)
        {
            throw Errors.Throwable(ErrorCode.OpFailed, $"{op}: {left} divided by zero", inner: e);
        }
        catch (OverflowException e)
        {
            throw Errors.Throwable(ErrorCode.OpFailed, $"{op}: the result of {left} and {right} does not fit 64 bits", inner: e);
        }
    };

    public static Func<object, object, object> Comparison(Func<int, bool> holds, bool ofNaN) => (left, right) =>
        left is double || right is double
            ? double.IsNaN(Numbers.ToDouble(left)) || double.IsNaN(Numbers.ToDouble(right)) ? ofNaN : holds(Numbers.ToDouble(left).CompareTo(Numbers.ToDouble(right)))
            : holds(Numbers.ToLong(left).CompareTo(Numbers.ToLong(right)));

    /// <summary>Rounds towards minus infinity, as Python's //.</summary>
    public static long FloorDivide(long a, long b)
    {
        long quotient = checked(a / b);
        return (a % b != 0) && ((a < 0) != (b < 0)) ? quotient - 1 : quotient;
    }

    /// <summary>Has the sign of the divisor, as Python's %.</summary>
    public static long Remainder(long a, long b)
    {
        if (b == -1) return 0;
        long rest = a % b;
        return rest != 0 && ((rest < 0) != (b < 0)) ? rest + b : rest;
    }

    public static double Remainder(double a, double b)
    {
        double rest = a % b;
        return rest != 0 && ((rest < 0) != (b < 0)) ? rest + b : rest;
    }

    /// <summary>An integer power of an integer; a negative exponent has none.</summary>
    public static long Power(long value, long exponent)
    {
        if (exponent < 0) throw Errors.Throwable(ErrorCode.OpFailed, "pow: integers to negative integer powers are not allowed", "Make one of them a float.");
        long result = 1;
        for (long square = value; exponent > 0; exponent >>= 1)
        {
            if ((exponent & 1) != 0) result = checked(result * square);
            if (exponent > 1) square = checked(square * square);
        }
        return result;
    }
}
