using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

internal static partial class KernelTable
{
    private static Dictionary<string, Kernel> InPlaceKernels() => new()
    {
        ["add_"] = (in a) => a.Operand(1) is Tensor other ? a.Tensor(0).add_(other, a.Scalar(2))
        : a.Tensor(0).add_(a.Scalar(1), a.Scalar(2)),
        ["sub_"] = (in a) => SubInPlace(a),
        ["mul_"] = (in a) => a.Operand(1) is Tensor other ? a.Tensor(0).mul_(other) : a.Tensor(0).mul_(a.Scalar(1)),
        ["div_"] = (in a) => DivInPlace(a),
        ["floor_divide_"] = (in a) => CheckedDivisor(a) is Tensor other ? a.Tensor(0).floor_divide_(other)
        : a.Tensor(0).floor_divide_(a.Scalar(1)),
        ["remainder_"] = (in a) => CheckedDivisor(a) is Tensor other ? a.Tensor(0).remainder_(other) : a.Tensor(0).remainder_(a.Scalar(1)),
        ["pow_"] = (in a) => a.Operand(1) is Tensor other ? a.Tensor(0).pow_(other) : a.Tensor(0).pow_(a.Scalar(1)),
        ["neg_"] = (in a) => a.Tensor(0).neg_(),
        ["abs_"] = (in a) => a.Tensor(0).abs_(),
        ["exp_"] = (in a) => a.Tensor(0).exp_(),
        ["log_"] = (in a) => a.Tensor(0).log_(),
        ["sqrt_"] = (in a) => a.Tensor(0).sqrt_(),
        ["round_"] = (in a) => a.Tensor(0).round_(a.Int32(1)),
        ["clamp_"] = (in a) => Clamp(a, inPlace: true),
        ["addcmul_"] = (in a) => a.Tensor(0).addcmul_(a.Tensor(1), a.Tensor(2), a.Scalar(3)),
        ["addcdiv_"] = (in a) => a.Tensor(0).addcdiv_(a.Tensor(1), a.Tensor(2), a.Scalar(3)),
        ["lerp_"] = (in a) => a.Tensor(0).lerp_(a.Tensor(1), a.TensorLike(2, a.Tensor(0))),
        ["relu_"] = (in a) => a.Tensor(0).relu_(),
        ["sigmoid_"] = (in a) => a.Tensor(0).sigmoid_(),
        ["tanh_"] = (in a) => a.Tensor(0).tanh_(),
        ["copy_"] = (in a) => a.Operand(1) is Tensor source ? a.Tensor(0).copy_(source) : a.Tensor(0).fill_(a.Scalar(1)),
        ["fill_"] = (in a) => a.Operand(1) is Tensor ? a.Tensor(0).copy_(ScalarTensor(a, 1)) : a.Tensor(0).fill_(a.Scalar(1)),
        ["zero_"] = (in a) => a.Tensor(0).zero_(),
        ["tril_"] = (in a) => a.Tensor(0).tril_(a.Int(1)),
        ["triu_"] = (in a) => a.Tensor(0).triu_(a.Int(1)),
        ["masked_fill_"] = (in a) => a.Operand(2) is Tensor ? a.Tensor(0).copy_(MaskedFill(a))
        : a.Tensor(0).masked_fill_(a.Tensor(1), a.Scalar(2)),
        ["masked_scatter_"] = (in a) => a.Tensor(0).masked_scatter_(a.Tensor(1), a.Tensor(2)),
        ["index_add_"] = (in a) => a.Tensor(0).index_add_(a.Int(1), a.Tensor(2), a.Tensor(3), a.Scalar(4)),
        ["index_copy_"] = (in a) => a.Tensor(0).index_copy_(a.Int(1), a.Tensor(2), a.Tensor(3)),
        ["index_fill_"] = (in a) => a.Tensor(0).index_fill_(a.Int(1), a.Tensor(2), a.Scalar(3)),
        ["index_put_"] = (in a) => Indexing.IndexPut(a.Tensor(0), a, 1, a.TensorLike(2, a.Tensor(0)), a.Bool(3)),
        ["scatter_"] = (in a) => a.Tensor(0).scatter_(a.Int(1), a.Tensor(2), ScatterSource(a)),
        ["scatter_add_"] = (in a) => a.Tensor(0).scatter_add_(a.Int(1), a.Tensor(2), a.Tensor(3)),
        ["setitem_"] = (in a) => Indexing.Set(a),
        ["requires_grad_"] = (in a) => RequiresGrad(a),
    };

    private static Tensor SubInPlace(in OpArguments a)
    {
        if (!HasUnitAlpha(a))
            return a.Operand(1) is Tensor y
                ? a.Tensor(0).add_(y, Numbers.ToScalar(PythonArithmetic.Sub(0L, a.Number(2))))
                : a.Tensor(0).sub_(Numbers.ToScalar(PythonArithmetic.Mul(a.Number(1), a.Number(2))));
        return a.Operand(1) is Tensor other ? a.Tensor(0).sub_(other) : a.Tensor(0).sub_(a.Scalar(1));
    }

    private static Tensor DivInPlace(in OpArguments a)
    {
        RoundingMode rounding = RoundingModeOf(a);
        object divisor = rounding == RoundingMode.None ? a.Operand(1) : CheckedDivisor(a);
        return divisor is Tensor other ? a.Tensor(0).div_(other, rounding) : a.Tensor(0).div_(a.Scalar(1), rounding);
    }

    private static object CheckedDivisor(in OpArguments a)
    {
        object divisor = a.Operand(1);
        long[] shape = a.Tensor(0).shape;
        bool fits = divisor is not Tensor other || ShapeMath.Broadcast(shape, other.shape)?.AsSpan().SequenceEqual(shape) == true;
        if (fits) KernelGuards.IntegerDivision(a.Schema.Name, a.Tensor(0), divisor); // else libtorch reports the shapes
        return divisor;
    }

    /// <summary>A tensor without dimensions, which is used as a number.</summary>
    private static Tensor ScalarTensor(in OpArguments a, int position)
    {
        Tensor value = a.TensorLike(position, a.Tensor(0));
        if (value.ndim != 0)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"{a.Schema.Name}(): the value must be a number or a tensor of no dimensions, but its shape is {Describe.Shape(value)}.");
        return value;
    }

    private static Tensor MaskedFill(in OpArguments a) =>
        a.Operand(2) is Tensor
            ? Where(a.Tensor(1), ScalarTensor(a, 2).to(a.Tensor(0).dtype), a.Tensor(0))
            : a.Tensor(0).masked_fill(a.Tensor(1), a.Scalar(2));

    /// <summary>The source of a scatter; a number is scattered to every position of the index.</summary>
    private static Tensor ScatterSource(in OpArguments a) =>
        a.Operand(3) is Tensor source ? source : full(a.Tensor(2).shape, a.Scalar(3), a.Tensor(0).dtype, a.Tensor(0).device);

    private static Tensor RequiresGrad(in OpArguments a)
    {
        Tensor self = a.Tensor(0);
        bool wanted = a.Bool(1);
        if (wanted && !is_floating_point(self) && !is_complex(self.dtype))
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"requires_grad_(): only floating-point tensors have gradients, not {Describe.Kind(self)}.");
        if (!wanted && self.requires_grad && !self.is_leaf)
            throw Errors.CreateException(ErrorCode.BadArgument,
                "requires_grad_(): the gradient of a computed tensor cannot be switched off.", "Use `detach()`.");
        if (wanted != self.requires_grad) self.requires_grad_(wanted);
        return self;
    }
}
