using Ndif.Protocol;
using TorchSharp;
using static Ndif.Engine.Kernels.Elementwise;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

internal static partial class KernelTable
{
    private static Dictionary<string, Kernel> ArithmeticKernels() => new()
    {
        ["add"] = (in a) => Add(a),
        ["sub"] = (in a) => Sub(a),
        ["mul"] = (in a) => Binary(a, (x, y) => x.mul(y), (x, n) => x.mul(n), PythonArithmetic.Mul),
        ["div"] = (in a) => Div(a),
        ["floor_divide"] = (in a) => FloorDivide(a),
        ["remainder"] = (in a) => Remainder(a),
        ["fmod"] = (in a) => Fmod(a),
        ["pow"] = (in a) => Pow(a),
        ["neg"] = (in a) => Unary(a, x => x.neg(), x => -x, n => checked(-n)),
        ["abs"] = (in a) => Unary(a, x => x.abs(), Math.Abs, Math.Abs),
        ["sign"] = (in a) => Unary(a, x => x.sign(), x => double.IsNaN(x) ? x : Math.Sign(x), n => Math.Sign(n)),
        ["square"] = (in a) => Unary(a, x => x.square(), x => x * x, n => checked(n * n)),
        ["sqrt"] = (in a) => Unary(a, x => x.sqrt(), Math.Sqrt),
        ["rsqrt"] = (in a) => Unary(a, x => x.rsqrt(), x => 1 / Math.Sqrt(x)),
        ["reciprocal"] = (in a) => Unary(a, x => x.reciprocal(), x => 1 / x),
        ["exp"] = (in a) => Unary(a, x => x.exp(), Math.Exp),
        ["exp2"] = (in a) => Unary(a, x => x.exp2(), x => Math.Pow(2, x)),
        ["expm1"] = (in a) => Unary(a, x => x.expm1(), x => Math.Exp(x) - 1),
        ["log"] = (in a) => Unary(a, x => x.log(), Math.Log),
        ["log2"] = (in a) => Unary(a, x => x.log2(), Math.Log2),
        ["log10"] = (in a) => Unary(a, x => x.log10(), Math.Log10),
        ["log1p"] = (in a) => Unary(a, x => x.log1p(), x => Math.Log(1 + x)),
        ["sin"] = (in a) => Unary(a, x => x.sin(), Math.Sin),
        ["cos"] = (in a) => Unary(a, x => x.cos(), Math.Cos),
        ["tan"] = (in a) => Unary(a, x => x.tan(), Math.Tan),
        ["asin"] = (in a) => Unary(a, x => x.asin(), Math.Asin),
        ["acos"] = (in a) => Unary(a, x => x.acos(), Math.Acos),
        ["atan"] = (in a) => Unary(a, x => x.atan(), Math.Atan),
        ["sinh"] = (in a) => Unary(a, x => x.sinh(), Math.Sinh),
        ["cosh"] = (in a) => Unary(a, x => x.cosh(), Math.Cosh),
        ["asinh"] = (in a) => Unary(a, x => x.asinh(), Math.Asinh),
        ["acosh"] = (in a) => Unary(a, x => x.acosh(), Math.Acosh),
        ["atanh"] = (in a) => Unary(a, x => x.atanh(), Math.Atanh),
        ["atan2"] = (in a) => a.Tensor(0).atan2(a.TensorLike(1, a.Tensor(0))),
        ["hypot"] = (in a) => a.Tensor(0).hypot(a.TensorLike(1, a.Tensor(0))),
        ["erf"] = (in a) => a.Tensor(0).erf(),
        ["erfc"] = (in a) => a.Tensor(0).erfc(),
        ["erfinv"] = (in a) => a.Tensor(0).erfinv(),
        ["lgamma"] = (in a) => a.Tensor(0).lgamma(),
        ["digamma"] = (in a) => a.Tensor(0).digamma(),
        ["logit"] = (in a) => a.Tensor(0).logit(a.OptionalFloat(1)),
        ["xlogy"] = (in a) => a.Tensor(0).xlogy(a.TensorLike(1, a.Tensor(0))),
        ["round"] = (in a) => Round(a),
        ["floor"] = (in a) => Unary(a, x => x.floor(), Math.Floor, n => n),
        ["ceil"] = (in a) => Unary(a, x => x.ceil(), Math.Ceiling, n => n),
        ["trunc"] = (in a) => Unary(a, x => x.trunc(), Math.Truncate, n => n),
        ["frac"] = (in a) => a.Tensor(0).frac(),
        ["clamp"] = (in a) => Clamp(a, inPlace: false),
        ["maximum"] = (in a) => Binary(a, (x, y) => x.maximum(y), null, PythonArithmetic.Max),
        ["minimum"] = (in a) => Binary(a, (x, y) => x.minimum(y), null, PythonArithmetic.Min),
        ["lerp"] = (in a) => a.Tensor(0).lerp(a.Tensor(1), a.TensorLike(2, a.Tensor(0))),
        ["addcmul"] = (in a) => a.Tensor(0).addcmul(a.Tensor(1), a.Tensor(2), a.Scalar(3)),
        ["addcdiv"] = (in a) => a.Tensor(0).addcdiv(a.Tensor(1), a.Tensor(2), a.Scalar(3)),
        ["logaddexp"] = (in a) => logaddexp(a.Tensor(0), a.TensorLike(1, a.Tensor(0))),
        ["nan_to_num"] = (in a) => a.Tensor(0).nan_to_num(a.Float(1), a.OptionalFloat(2), a.OptionalFloat(3)),
    };

    /// <summary>Whether alpha is 1, which it is almost always. The call without alpha is cheaper.</summary>
    private static bool HasUnitAlpha(in OpArguments a) => a[2] is 1L;

    private static object Add(in OpArguments a)
    {
        if (HasUnitAlpha(a)) return Binary(a, (x, y) => x.add(y), (x, n) => x.add(n), PythonArithmetic.Add);
        object alpha = a.Number(2);
        return Binary(a, (x, y) => x.add(y, Numbers.ToScalar(alpha)), (x, n) => x.add(n, Numbers.ToScalar(alpha)),
            (x, y) => PythonArithmetic.Add(x, PythonArithmetic.Mul(y, alpha)));
    }

    private static object Sub(in OpArguments a)
    {
        if (HasUnitAlpha(a)) return Binary(a, (x, y) => x.sub(y), (x, n) => x.sub(n), PythonArithmetic.Sub);
        object alpha = a.Number(2), minus = PythonArithmetic.Sub(0L, alpha);
        return Binary(a, (x, y) => x.add(y, Numbers.ToScalar(minus)), (x, n) => x.add(n, Numbers.ToScalar(minus)),
            (x, y) => PythonArithmetic.Sub(x, PythonArithmetic.Mul(y, alpha)));
    }

    /// <summary>The rounding mode of torch.div; without one the division is exact.</summary>
    private static RoundingMode RoundingModeOf(in OpArguments a) =>
        a.Has(2) ? a.Choice(2, ("trunc", RoundingMode.trunc), ("floor", RoundingMode.floor)) : RoundingMode.None;

    private static object Div(in OpArguments a)
    {
        RoundingMode rounding = RoundingModeOf(a);
        object left = a.Operand(0), right = a.Operand(1);
        if (rounding == RoundingMode.None && left is not Tensor && right is Tensor divisor)
            return divisor.reciprocal().mul(Numbers.ToScalar(left)); // as torch.Tensor.__rtruediv__
        if (rounding != RoundingMode.None) CheckDivision(a, left, right);
        return Binary(a, (x, y) => x.div(y, rounding), (x, n) => x.div(n, rounding), rounding switch
        {
            RoundingMode.floor => PythonArithmetic.FloorDivide,
            RoundingMode.trunc => PythonArithmetic.TruncDivide,
            _ => PythonArithmetic.Div,
        });
    }

    private static object FloorDivide(in OpArguments a)
    {
        CheckDivision(a, a.Operand(0), a.Operand(1));
        return Binary(a, (x, y) => x.floor_divide(y), (x, n) => x.floor_divide(n), PythonArithmetic.FloorDivide);
    }

    private static object Remainder(in OpArguments a)
    {
        CheckDivision(a, a.Operand(0), a.Operand(1));
        return Binary(a, (x, y) => x.remainder(y), (x, n) => x.remainder(n), PythonArithmetic.Remainder);
    }

    private static object Fmod(in OpArguments a)
    {
        CheckDivision(a, a.Operand(0), a.Operand(1));
        return Binary(a, (x, y) => x.fmod(y), (x, n) => x.fmod(n), PythonArithmetic.Fmod);
    }

    private static void CheckDivision(in OpArguments a, object left, object right)
    {
        if (left is not Tensor && right is Tensor other) left = Numbers.ToTensorLike(left, other, a.Context);
        KernelGuards.IntegerDivision(a.Schema.Name, left, right);
    }

    private static object Pow(in OpArguments a) =>
        Binary(a, (x, y) => x.pow(y), (x, n) => x.pow(n), PythonArithmetic.Pow);

    private static object Round(in OpArguments a)
    {
        long decimals = a.Int(1);
        if (Math.Abs(decimals) > 300)
            throw Errors.CreateException(ErrorCode.BadArgument, $"round(): decimals is out of range: {decimals}.");
        return Unary(a, x => x.round(decimals), x => Math.Round(x * Math.Pow(10, decimals), MidpointRounding.ToEven)
            / Math.Pow(10, decimals), n => n);
    }

    private static object Clamp(in OpArguments a, bool inPlace)
    {
        if (!a.Has(1) && !a.Has(2))
            throw Errors.CreateException(ErrorCode.BadArgument, $"{a.Schema.Name}(): at least one of 'min' or 'max' must not be None.");
        object self = a.Operand(0);
        if (self is not Tensor tensor && a[1] is not Tensor && a[2] is not Tensor)
        {
            object value = self;
            if (a.Has(1)) value = PythonArithmetic.Max(value, a.Number(1));
            return a.Has(2) ? PythonArithmetic.Min(value, a.Number(2)) : value;
        }
        Tensor x = a.TensorLike(0, (a[1] as Tensor ?? a[2] as Tensor ?? self as Tensor)!);
        if (a[1] is Tensor || a[2] is Tensor)
        {
            Tensor? min = a.Has(1) ? a.TensorLike(1, x) : null, max = a.Has(2) ? a.TensorLike(2, x) : null;
            return inPlace ? x.clamp_(min, max) : x.clamp(min, max);
        }
        Scalar? least = a.Has(1) ? a.Scalar(1) : null, most = a.Has(2) ? a.Scalar(2) : null;
        return inPlace ? x.clamp_(least, most) : x.clamp(least, most);
    }
}
