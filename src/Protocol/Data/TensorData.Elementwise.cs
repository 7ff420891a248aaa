using System.Numerics.Tensors;
using Ndif.Protocol;

namespace Ndif;

// Element by element. float64 is computed in float64, whole numbers in int64, and everything else in float32, as PyTorch does on a CPU;
// the result is rounded to its type once. Functions give float32 for whole numbers.
public sealed partial class TensorData
{
    /// <summary>e raised to the power of each element. <para>PyTorch: <c>exp</c></para></summary>
    public TensorData Exp() => Map(TensorPrimitives.Exp, TensorPrimitives.Exp);

    /// <summary>The natural logarithm of each element. <para>PyTorch: <c>log</c></para></summary>
    public TensorData Log() => Map(TensorPrimitives.Log, TensorPrimitives.Log);

    /// <summary>The square root of each element. <para>PyTorch: <c>sqrt</c></para></summary>
    public TensorData Sqrt() => Map(TensorPrimitives.Sqrt, TensorPrimitives.Sqrt);

    /// <summary>Each element raised to a power. <para>PyTorch: <c>pow</c></para></summary>
    public TensorData Pow(double exponent) => Map(
        (x, result) => TensorPrimitives.Pow(x, (float)exponent, result), (x, result) => TensorPrimitives.Pow(x, exponent, result));

    /// <summary>The absolute value of each element. <para>PyTorch: <c>abs</c></para></summary>
    public TensorData Abs() => Type.IsFloatingPoint()
        ? Map(TensorPrimitives.Abs, TensorPrimitives.Abs) : Map<long>(Type, static (x, result) =>
        {
            for (int i = 0; i < x.Length; i++) result[i] = x[i] < 0 ? unchecked(-x[i]) : x[i]; // the smallest number has no opposite
        });

    /// <summary>Changes the sign of each element. <para>PyTorch: <c>neg</c></para></summary>
    public static TensorData operator -(TensorData a) => a.Type.IsFloatingPoint()
        ? a.Map(TensorPrimitives.Negate, TensorPrimitives.Negate) : a.Map<long>(a.Type, TensorPrimitives.Negate);

    /// <summary>Adds element by element, with broadcasting.</summary>
    /// <exception cref="ShapeMismatchException">The shapes do not broadcast.</exception>
    public static TensorData operator +(TensorData a, TensorData b) => Add(a, b, ResultType(a, b));
    /// <summary>Adds a number to each element.</summary>
    public static TensorData operator +(TensorData a, double b) => Add(a, Number(b), Real(a.Type));
    /// <summary>Adds a whole number to each element.</summary>
    public static TensorData operator +(TensorData a, long b) => Add(a, Number(b), Whole(a.Type));
    /// <summary>Adds a number to each element.</summary>
    public static TensorData operator +(double a, TensorData b) => b + a;
    /// <summary>Adds a whole number to each element.</summary>
    public static TensorData operator +(long a, TensorData b) => b + a;

    /// <summary>Subtracts element by element, with broadcasting.</summary>
    /// <exception cref="ShapeMismatchException">The shapes do not broadcast.</exception>
    public static TensorData operator -(TensorData a, TensorData b) => Subtract(a, b, ResultType(a, b));
    /// <summary>Subtracts a number from each element.</summary>
    public static TensorData operator -(TensorData a, double b) => Subtract(a, Number(b), Real(a.Type));
    /// <summary>Subtracts a whole number from each element.</summary>
    public static TensorData operator -(TensorData a, long b) => Subtract(a, Number(b), Whole(a.Type));
    /// <summary>Subtracts each element from a number.</summary>
    public static TensorData operator -(double a, TensorData b) => Subtract(Number(a), b, Real(b.Type));
    /// <summary>Subtracts each element from a whole number.</summary>
    public static TensorData operator -(long a, TensorData b) => Subtract(Number(a), b, Whole(b.Type));

    /// <summary>Multiplies element by element, with broadcasting.</summary>
    /// <exception cref="ShapeMismatchException">The shapes do not broadcast.</exception>
    public static TensorData operator *(TensorData a, TensorData b) => Multiply(a, b, ResultType(a, b));
    /// <summary>Multiplies each element by a number.</summary>
    public static TensorData operator *(TensorData a, double b) => Multiply(a, Number(b), Real(a.Type));
    /// <summary>Multiplies each element by a whole number.</summary>
    public static TensorData operator *(TensorData a, long b) => Multiply(a, Number(b), Whole(a.Type));
    /// <summary>Multiplies each element by a number.</summary>
    public static TensorData operator *(double a, TensorData b) => b * a;
    /// <summary>Multiplies each element by a whole number.</summary>
    public static TensorData operator *(long a, TensorData b) => b * a;

    /// <summary>Divides element by element, with broadcasting; whole numbers in float32.</summary>
    /// <exception cref="ShapeMismatchException">The shapes do not broadcast.</exception>
    public static TensorData operator /(TensorData a, TensorData b) => Divide(a, b, Real(ResultType(a, b)));
    /// <summary>Divides each element by a number; whole numbers in float32.</summary>
    public static TensorData operator /(TensorData a, double b) => Divide(a, Number(b), Real(a.Type));
    /// <summary>Divides a number by each element; whole numbers in float32.</summary>
    public static TensorData operator /(double a, TensorData b) => Divide(Number(a), b, Real(b.Type));

    private static TensorData Add(TensorData a, TensorData b, DType type) =>
        Combine(a, b, type, TensorPrimitives.Add, TensorPrimitives.Add, TensorPrimitives.Add);

    private static TensorData Subtract(TensorData a, TensorData b, DType type) => type is not DType.Bool
        ? Combine(a, b, type, TensorPrimitives.Subtract, TensorPrimitives.Subtract, TensorPrimitives.Subtract)
        : throw Errors.CreateException(ErrorCode.BadArgument, "Flags cannot be subtracted.", "Convert them, as with To(DType.Int64).");

    private static TensorData Multiply(TensorData a, TensorData b, DType type) =>
        Combine(a, b, type, TensorPrimitives.Multiply, TensorPrimitives.Multiply, TensorPrimitives.Multiply);

    private static TensorData Divide(TensorData a, TensorData b, DType type) =>
        Combine(a, b, type, TensorPrimitives.Divide, TensorPrimitives.Divide, TensorPrimitives.Divide);

    private static TensorData Number(double number) => FromArray([number]).Reshape();

    private static TensorData Number(long number) => FromArray([number]).Reshape();

    /// <summary>The type of a function of elements of this type.</summary>
    private static DType Real(DType type) => type.IsFloatingPoint() ? type : DType.Float32;

    /// <summary>The type of such an element together with a whole number.</summary>
    private static DType Whole(DType type) => type is DType.Bool ? DType.Int64 : type;

    /// <summary>
    /// The common type of two tensors. A tensor without dimensions counts only if it is of a higher kind: flag, whole number, real number.
    /// </summary>
    /// <remarks>torch.result_type, without wrapped numbers</remarks>
    private static DType ResultType(TensorData a, TensorData b)
    {
        bool isScalar = a._shape.Length == 0, isOtherScalar = b._shape.Length == 0;
        if (isScalar == isOtherScalar) return Promote(a.Type, b.Type);
        (DType tensor, DType scalar) = isScalar ? (b.Type, a.Type) : (a.Type, b.Type);
        return Kind(scalar) > Kind(tensor) ? scalar : tensor;
    }

    private static int Kind(DType type) => type is DType.Bool ? 0 : type.IsInteger() ? 1 : 2;

    /// <remarks>torch.promote_types</remarks>
    private static DType Promote(DType a, DType b)
    {
        if (a == b) return a;
        if (Kind(a) != Kind(b)) return Kind(a) > Kind(b) ? a : b;
        if (a.ItemSize() != b.ItemSize()) return a.ItemSize() > b.ItemSize() ? a : b;
        return a.IsFloatingPoint() ? DType.Float32 : DType.Int16; // float16 and bfloat16; int8 and uint8
    }

    private TensorData Map(Action<ReadOnlySpan<float>, Span<float>> inSingle, Action<ReadOnlySpan<double>, Span<double>> inDouble) =>
        Type is DType.Float64 ? Map(Type, inDouble) : Map(Real(Type), inSingle);

    private TensorData Map<T>(DType type, Action<ReadOnlySpan<T>, Span<T>> function) where T : unmanaged, System.Numerics.INumber<T>
    {
        T[] elements = Elements<T>();
        function(elements, elements);
        return FromElements<T>(elements, _shape, type);
    }

    private static TensorData Combine(
        TensorData a, TensorData b, DType type, Action<ReadOnlySpan<float>, ReadOnlySpan<float>, Span<float>> inSingle,
        Action<ReadOnlySpan<double>, ReadOnlySpan<double>, Span<double>> inDouble,
        Action<ReadOnlySpan<long>, ReadOnlySpan<long>, Span<long>> inWhole)
    {
        long[] shape = BroadcastShapes(a._shape, b._shape)
            ?? throw Errors.CreateException(ErrorCode.ShapeMismatch, $"The shapes {Text(a._shape)} and {Text(b._shape)} do not broadcast.");
        return type is DType.Float64 ? In(inDouble) : type.IsFloatingPoint() ? In(inSingle) : In(inWhole);

        TensorData In<T>(Action<ReadOnlySpan<T>, ReadOnlySpan<T>, Span<T>> function) where T : unmanaged, System.Numerics.INumber<T>
        {
            T[] left = a.BroadcastTo(shape).Elements<T>(), right = b.BroadcastTo(shape).Elements<T>();
            function(left, right, left);
            return FromElements<T>(left, shape, type);
        }
    }

    /// <summary>The shape that two shapes broadcast to; null if they do not.</summary>
    private static long[]? BroadcastShapes(long[] a, long[] b)
    {
        var shape = new long[Math.Max(a.Length, b.Length)];
        for (int i = 1; i <= shape.Length; i++)
        {
            long x = i <= a.Length ? a[^i] : 1, y = i <= b.Length ? b[^i] : 1;
            if (x != y && x != 1 && y != 1) return null;
            shape[^i] = x == 1 ? y : x;
        }
        return shape;
    }

    /// <summary>The tensor repeated to a shape that it broadcasts to.</summary>
    private TensorData BroadcastTo(long[] shape)
    {
        if (shape.AsSpan().SequenceEqual(_shape)) return this;
        long[] strides = Strides();
        int added = shape.Length - _shape.Length;
        return Gather(shape, [.. shape.Select((size, d) =>
            Steps(size, d < added || _shape[d - added] == 1 ? 0 : strides[d - added]))], 0);
    }

    private static string Text(ReadOnlySpan<long> shape) => $"[{string.Join(", ", shape.ToArray())}]";
}
