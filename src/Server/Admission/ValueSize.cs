using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Server.Admission;

/// <summary>The estimated size of a value of a program.</summary>
/// <param name="Shape">The shape of a tensor; null for other values.</param>
/// <param name="ElementBytes">Bytes of one element of the tensor.</param>
/// <param name="ContainerBytes">Bytes of the values in a list or dictionary.</param>
internal readonly record struct ValueSize(double[]? Shape, double ElementBytes, double ContainerBytes = 0)
{
    private const int DefaultElementBytes = sizeof(float);

    /// <summary>A module without weights of its own may return a tuple. Its first element has the shape.</summary>
    public bool MayBeTuple { get; init; }

    public double Bytes => ContainerBytes + (Shape is null ? 0 : Shape.Aggregate(ElementBytes, (product, length) => product * length));

    /// <summary>A single number.</summary>
    public static ValueSize Scalar { get; } = new([], DefaultElementBytes);

    public static ValueSize OfTensor(IEnumerable<long> shape, DataType type) =>
        new([.. shape.Select(n => (double)n)], GetElementBytes(type));

    public static double GetElementBytes(DataType type) => type == DataType.Unspecified ? DefaultElementBytes : ((DType)type).ItemSize();

    /// <summary>The size of this value at an index. Where the result's shape depends on data, the size stays as it is.</summary>
    public ValueSize At(Argument index)
    {
        if (Shape is not { } shape) return this;
        Argument[] items = index.ValueCase == Argument.ValueOneofCase.Tuple ? [.. index.Tuple.Items] : [index];
        if (MayBeTuple && items is [{ ValueCase: Argument.ValueOneofCase.Integer }]) return this with { MayBeTuple = false }; // output[0]
        int indexed = items.Count(item => item.ValueCase is not (Argument.ValueOneofCase.None or Argument.ValueOneofCase.Ellipsis));
        int added = items.Count(item => item.ValueCase is Argument.ValueOneofCase.None);
        bool isInvalid = indexed > shape.Length || index.ValueCase == Argument.ValueOneofCase.Text
            || shape.Length + added > ProgramFormat.MaxRank || items.Count(item => item.ValueCase is Argument.ValueOneofCase.Ellipsis) > 1;
        if (isInvalid) return this; // the run refuses it
        List<double> left = [];
        int axis = 0;
        foreach (Argument item in items)
        {
            switch (item.ValueCase)
            {
                case Argument.ValueOneofCase.Integer: axis++; break;
                case Argument.ValueOneofCase.Slice: left.Add(GetSliceLength(item.Slice, shape[axis++])); break;
                case Argument.ValueOneofCase.None: left.Add(1); break;
                case Argument.ValueOneofCase.Ellipsis:
                    for (int i = shape.Length - indexed; i > 0; i--) left.Add(shape[axis++]);
                    break;
                default: left.Add(shape[axis++]); break;
            }
        }
        while (axis < shape.Length) left.Add(shape[axis++]);
        return this with { Shape = [.. left], MayBeTuple = false };
    }

    private static double GetSliceLength(Slice slice, double length)
    {
        double step = Math.Max(1, Math.Abs((double)(ToNumber(slice.Step) ?? 1)));
        double start = Clamp(ToNumber(slice.Start) ?? 0), stop = Clamp(ToNumber(slice.Stop) ?? length);
        return Math.Max(0, Math.Ceiling((stop - start) / step));

        static double? ToNumber(Argument? bound) => bound is { ValueCase: Argument.ValueOneofCase.Integer } ? bound.Integer : null;

        double Clamp(double position) => Math.Clamp(position < 0 ? position + length : position, 0, length);
    }
}
