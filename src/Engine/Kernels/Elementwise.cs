using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>Elementwise operations on tensors, and the same operations on plain numbers.</summary>
internal static class Elementwise
{
    /// <summary>An operation on a tensor or a number.</summary>
    public static object Unary(in OpArguments a, Func<Tensor, Tensor> tensor, Func<double, double> number) =>
        a.Operand(0) is Tensor self ? (object)tensor(self) : number(Numbers.ToDouble(a.Number(0)));

    /// <summary>The same, where an integer stays one.</summary>
    public static object Unary(in OpArguments a, Func<Tensor, Tensor> tensor, Func<double, double> real, Func<long, long> integer) =>
        a.Operand(0) switch
    {
        Tensor self => (object)tensor(self), // the cast prevents the implicit conversion of numbers to TorchSharp tensors
        double number => real(number),
        object number => integer(Numbers.ToLong(number)),
    };

    /// <summary>
    /// An operation on two operands. A number on the right is passed to <paramref name="scalar"/> if it is given; otherwise a number
    /// becomes a tensor that does not widen the type of the other operand.
    /// </summary>
    public static object Binary(in OpArguments a, Func<Tensor, Tensor, Tensor> tensors, Func<Tensor, Scalar, Tensor>? scalar,
        Func<object, object, object> numbers)
    {
        object left = a.Operand(0), right = a.Operand(1);
        return (left, right) switch
        {
            (Tensor self, Tensor other) => (object)tensors(self, other),
            (Tensor self, _) when scalar is not null => scalar(self, Numbers.ToScalar(right)),
            (Tensor self, _) => tensors(self, Numbers.ToTensorLike(right, self, a.Context)),
            (_, Tensor other) => tensors(Numbers.ToTensorLike(left, other, a.Context), other),
            _ => numbers(left, right),
        };
    }
}
