using Ndif.Protocol;
using TorchSharp;
using static Ndif.Engine.Kernels.Elementwise;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

internal static partial class KernelTable
{
    private static Dictionary<string, Kernel> ComparisonKernels() => new()
    {
        ["eq"] = (in a) => Binary(a, (x, y) => x.eq(y), (x, n) => x.eq(n), PythonArithmetic.Equal),
        ["ne"] = (in a) => Binary(a, (x, y) => x.ne(y), (x, n) => x.ne(n), PythonArithmetic.NotEqual),
        ["lt"] = (in a) => Binary(a, (x, y) => x.lt(y), (x, n) => x.lt(n), PythonArithmetic.Less),
        ["le"] = (in a) => Binary(a, (x, y) => x.le(y), (x, n) => x.le(n), PythonArithmetic.LessOrEqual),
        ["gt"] = (in a) => Binary(a, (x, y) => x.gt(y), (x, n) => x.gt(n), PythonArithmetic.Greater),
        ["ge"] = (in a) => Binary(a, (x, y) => x.ge(y), (x, n) => x.ge(n), PythonArithmetic.GreaterOrEqual),
        ["logical_and"] = (in a) => Binary(a, (x, y) => x.logical_and(y), null, (x, y) => Numbers.IsTruthy(x) && Numbers.IsTruthy(y)),
        ["logical_or"] = (in a) => Binary(a, (x, y) => x.logical_or(y), null, (x, y) => Numbers.IsTruthy(x) || Numbers.IsTruthy(y)),
        ["logical_xor"] = (in a) => Binary(a, (x, y) => x.logical_xor(y), null, (x, y) => Numbers.IsTruthy(x) != Numbers.IsTruthy(y)),
        ["logical_not"] = (in a) => a.Operand(0) is Tensor x ? (object)x.logical_not() : !Numbers.IsTruthy(a.Number(0)),
        ["bitwise_and"] = (in a) => Binary(a, (x, y) => x.bitwise_and(y), null, PythonArithmetic.And),
        ["bitwise_or"] = (in a) => Binary(a, (x, y) => x.bitwise_or(y), null, PythonArithmetic.Or),
        ["bitwise_xor"] = (in a) => Binary(a, (x, y) => x.bitwise_xor(y), null, PythonArithmetic.Xor),
        ["bitwise_not"] =
        (in a) => a.Operand(0) switch { Tensor x => (object)x.bitwise_not(), bool b => !b, long n => ~n, _ => throw a.Mismatch(0) },
        ["isnan"] = (in a) => a.Tensor(0).isnan(),
        ["isinf"] = (in a) => a.Tensor(0).isinf(),
        ["isfinite"] = (in a) => a.Tensor(0).isfinite(),
        ["isclose"] = (in a) => a.Tensor(0).isclose(a.TensorLike(1, a.Tensor(0)), a.Float(2), a.Float(3), a.Bool(4)),
        ["allclose"] = (in a) => TensorWithData(a, 0).allclose(a.TensorLike(1, a.Tensor(0)), a.Float(2), a.Float(3), a.Bool(4)),
        ["equal"] = (in a) => AreEqual(TensorWithData(a, 0), TensorWithData(a, 1)),
        ["isin"] = (in a) => isin(a.Tensor(0), a.Tensor(1), invert: a.Bool(2)),
        ["signbit"] = (in a) => a.Tensor(0).signbit(),
    };

    private static Tensor TensorWithData(in OpArguments a, int position)
    {
        Tensor tensor = a.Tensor(position);
        KernelGuards.HasData(tensor, a.Schema.Name);
        return tensor;
    }

    private static bool AreEqual(Tensor x, Tensor y) => x.shape.SequenceEqual(y.shape) && x.eq(y).all().item<bool>();
}
