using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>Plain numbers (long, double, bool) and their conversion from and to tensors.</summary>
internal static class Numbers
{
    public static bool Is(object? value) => value is long or double or bool or int or float;

    public static bool IsInteger(Tensor tensor) => tensor.dtype is ScalarType.Int64 or ScalarType.Int32 or ScalarType.Int16
        or ScalarType.Int8 or ScalarType.Byte;

    /// <summary>Converts to long, double or bool; a tensor must have one element. Null if the value is not a number.</summary>
    public static object? From(object? value, string op) => value switch
    {
        long or double or bool => value,
        int integer => (long)integer,
        float real => (double)real,
        Tensor tensor => Item(tensor, op),
        _ => null,
    };

    /// <summary>The one element of a tensor as long, double or bool.</summary>
    public static object Item(Tensor tensor, string op)
    {
        KernelGuards.HasData(tensor, op);
        if (tensor.numel() != 1)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"{op}(): a Tensor with {tensor.numel()} elements cannot be converted to a number.");
        if (is_complex(tensor.dtype))
            throw Errors.CreateException(ErrorCode.Unsupported, $"{op}(): a complex tensor cannot be converted to a number.",
                "Take `view_as_real` parts on the client.");
        return tensor.dtype == ScalarType.Bool ? tensor.item<bool>()
            : IsInteger(tensor) ? (object)tensor.to(ScalarType.Int64).item<long>()
            : tensor.to(ScalarType.Float64).item<double>();
    }

    public static Scalar ToScalar(object number) => number switch
    {
        long integer => integer,
        double real => real,
        bool flag => flag,
        _ => throw new ArgumentException("Not a number.", nameof(number)),
    };

    public static double ToDouble(object number) => number switch
    {
        long integer => integer,
        double real => real,
        bool flag => flag ? 1 : 0,
        _ => throw new ArgumentException("Not a number.", nameof(number)),
    };

    /// <summary>Converts a long or a bool, which counts as 0 or 1.</summary>
    public static long ToLong(object number) => number switch
    {
        long integer => integer,
        bool flag => flag ? 1 : 0,
        _ => throw new ArgumentException("Not an integer.", nameof(number)),
    };

    public static bool IsTruthy(object number) => number is bool flag ? flag : ToDouble(number) != 0;

    /// <summary>
    /// Converts a number to a tensor without dimensions that takes part in type promotion like PyTorch's wrapped numbers: it never
    /// widens a tensor of its own category (c10/core/ScalarType: result_type).
    /// </summary>
    public static Tensor ToTensorLike(object value, Tensor other, KernelContext context)
    {
        ScalarType like = other.dtype;
        ScalarType type = value switch
        {
            double or float => is_floating_point(like) || is_complex(like) ? like : context.DefaultType,
            long or int => like == ScalarType.Bool ? ScalarType.Int64 : like,
            _ => like,
        };
        return full([], ToScalar(From(value, "")!), type, other.device);
    }

    /// <summary>Converts a number to a tensor without dimensions, of the type that PyTorch infers.</summary>
    public static Tensor ToTensor(object number, KernelContext context) => full([], ToScalar(number), number switch
    {
        double => context.DefaultType,
        bool => ScalarType.Bool,
        _ => ScalarType.Int64,
    }, context.Device);
}
