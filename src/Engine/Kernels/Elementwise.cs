using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>Operations on a tensor and a tensor, a tensor and a number, or two numbers, which give a number.</summary>
internal static class Elementwise
{
    /// <summary>Of one tensor or one number.</summary>
    public static object Unary(in OpArguments a, Func<Tensor, Tensor> tensor, Func<double, double> number) =>
        a.Operand(0) is Tensor self ? (object)tensor(self) : number(Numbers.ToDouble(a.Number(0)));

    /// <summary>The same, where an integer stays one.</summary>
    public static object Unary(in OpArguments a, Func<Tensor, Tensor> tensor, Func<double, double> real, Func<long, long> integer) => a.Operand(0) switch
    {
        Tensor self => (object)tensor(self), // not by itself: TorchSharp makes tensors of numbers implicitly
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
            (Tensor self, Tensor other) => (object)tensors(self, other),
            (Tensor self, _) when scalar is not null => scalar(self, Numbers.ToScalar(right)),
            (Tensor self, _) => tensors(self, Numbers.ToTensorLike(right, self, a.Context)),
            (_, Tensor other) => tensors(Numbers.ToTensorLike(left, other, a.Context), other),
            _ => numbers(left, right),
        };
    }
}
