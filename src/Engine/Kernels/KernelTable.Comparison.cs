using Ndif.Protocol;
using TorchSharp;
using static Ndif.Engine.Kernels.Elementwise;
using static TorchSharp.torch;

namespace Ndif.Engine.Kernels;

public static partial class KernelTable
{
    private static readonly Dictionary<string, Kernel> s_comparison = new()
    {
        ["eq"] = (in a) => Binary(a, (x, y) => x.eq(y), (x, n) => x.eq(n), Comparison(c => c == 0, ofNaN: false)),
        ["ne"] = (in a) => Binary(a, (x, y) => x.ne(y), (x, n) => x.ne(n), Comparison(c => c != 0, ofNaN: true)),
        ["lt"] = (in a) => Binary(a, (x, y) => x.lt(y), (x, n) => x.lt(n), Comparison(c => c < 0, ofNaN: false)),
        ["le"] = (in a) => Binary(a, (x, y) => x.le(y), (x, n) => x.le(n), Comparison(c => c <= 0, ofNaN: false)),
        ["gt"] = (in a) => Binary(a, (x, y) => x.gt(y), (x, n) => x.gt(n), Comparison(c => c > 0, ofNaN: false)),
        ["ge"] = (in a) => Binary(a, (x, y) => x.ge(y), (x, n) => x.ge(n), Comparison(c => c >= 0, ofNaN: false)),
        ["logical_and"] = (in a) => Binary(a, (x, y) => x.logical_and(y), null, (x, y) => Numbers.Truth(x) && Numbers.Truth(y)),
        ["logical_or"] = (in a) => Binary(a, (x, y) => x.logical_or(y), null, (x, y) => Numbers.Truth(x) || Numbers.Truth(y)),
        ["logical_xor"] = (in a) => Binary(a, (x, y) => x.logical_xor(y), null, (x, y) => Numbers.Truth(x) != Numbers.Truth(y)),
        ["logical_not"] = (in a) => a.Operand(0) is Tensor x ? x.logical_not() : !Numbers.Truth(a.Number(0)),
        ["bitwise_and"] = (in a) => Binary(a, (x, y) => x.bitwise_and(y), null, Bits((x, y) => x & y)),
        ["bitwise_or"] = (in a) => Binary(a, (x, y) => x.bitwise_or(y), null, Bits((x, y) => x | y)),
        ["bitwise_xor"] = (in a) => Binary(a, (x, y) => x.bitwise_xor(y), null, Bits((x, y) => x ^ y)),
        ["bitwise_not"] = (in a) => a.Operand(0) switch { Tensor x => x.bitwise_not(), bool b => !b, long n => ~n, _ => throw a.Mismatch(0) },
        ["isnan"] = (in a) => a.Tensor(0).isnan(),
        ["isinf"] = (in a) => a.Tensor(0).isinf(),
        ["isfinite"] = (in a) => a.Tensor(0).isfinite(),
        ["isclose"] = (in a) => a.Tensor(0).isclose(a.TensorLike(1, a.Tensor(0)), a.Float(2), a.Float(3), a.Bool(4)),
        ["allclose"] = (in a) => Known(a, 0).allclose(a.TensorLike(1, a.Tensor(0)), a.Float(2), a.Float(3), a.Bool(4)),
        ["equal"] = (in a) => SameElements(Known(a, 0), Known(a, 1)),
        ["isin"] = (in a) => isin(a.Tensor(0), a.Tensor(1), invert: a.Bool(2)),
        ["signbit"] = (in a) => a.Tensor(0).signbit(),
    };

    /// <summary>The result of two bools is one.</summary>
    private static Func<object, object, object> Bits(Func<long, long, long> of) => (x, y) =>
        x is double || y is double ? throw Errors.Throwable(ErrorCode.BadArgument, "There are no bits of a float to combine.")
        : x is bool && y is bool ? of(Numbers.ToLong(x), Numbers.ToLong(y)) != 0
        : of(Numbers.ToLong(x), Numbers.ToLong(y));

    private static Tensor Known(in OpArguments a, int position)
    {
        Tensor tensor = a.Tensor(position);
        Guards.Known(tensor, a.Schema.Name);
        return tensor;
    }

    private static bool SameElements(Tensor x, Tensor y) => x.shape.SequenceEqual(y.shape) && x.eq(y).all().item<bool>();
}
