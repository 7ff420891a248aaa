using System.Globalization;
using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// The numbers of a picture. A <see cref="Saved"/>, a <see cref="TensorData"/>, an array of numbers, and a list or a grid of saved values of
/// equal shape convert to it, so that what a run returns can be drawn as it is.
/// </summary>
public sealed class PlotValues
{
    private readonly bool _isSingle;

    private PlotValues(double[] elements, int[] shape, bool isSingle) => (Elements, Shape, _isSingle) = (elements, shape, isSingle);

    /// <summary>The numbers in row-major order.</summary>
    internal double[] Elements { get; }

    /// <summary>The sizes of the dimensions.</summary>
    internal int[] Shape { get; }

    /// <summary>A computed tensor of any real element type.</summary>
    public static implicit operator PlotValues(TensorData tensor) =>
        new(tensor.ToArray<double>(), [.. tensor.Shape.ToArray().Select(size => checked((int)size))], tensor.Type != DType.Float64);

    /// <summary>A saved value after its run.</summary>
    public static implicit operator PlotValues(Saved saved) => From(saved.Result);

    /// <summary>A number.</summary>
    public static implicit operator PlotValues(double number) => new([number], [], false);

    /// <summary>Numbers. [count]</summary>
    public static implicit operator PlotValues(double[] numbers) => new([.. numbers], [numbers.Length], false);

    /// <summary>Numbers. [count]</summary>
    public static implicit operator PlotValues(float[] numbers) => new([.. numbers.Select(x => (double)x)], [numbers.Length], true);

    /// <summary>A table of numbers. [rows, columns]</summary>
    public static implicit operator PlotValues(double[,] numbers) =>
        new([.. numbers.Cast<double>()], [numbers.GetLength(0), numbers.GetLength(1)], false);

    /// <summary>A table of numbers. [rows, columns]</summary>
    public static implicit operator PlotValues(float[,] numbers) =>
        new([.. numbers.Cast<float>().Select(x => (double)x)], [numbers.GetLength(0), numbers.GetLength(1)], true);

    /// <summary>Tensors of equal shape, stacked. [count, ...]</summary>
    public static implicit operator PlotValues(TensorData[] tensors) => Stack([.. tensors], tensors.Length);

    /// <summary>Saved values of equal shape, stacked. [count, ...]</summary>
    public static implicit operator PlotValues(Saved[] values) => Stack([.. values], values.Length);

    /// <summary>Saved values of equal shape, stacked. [count, ...]</summary>
    public static implicit operator PlotValues(List<Saved> values) => Stack([.. values], values.Count);

    /// <summary>A grid of saved values of equal shape, for example one for each layer and position. [rows, columns, ...]</summary>
    public static implicit operator PlotValues(Saved[,] values) =>
        Stack([.. values.Cast<Saved>()], values.GetLength(0), values.GetLength(1));

    /// <summary>These numbers without leading dimensions of size 1, so that there are so many dimensions.</summary>
    /// <exception cref="ShapeMismatchException">There are other dimensions, or no numbers.</exception>
    internal PlotValues As(int dimensions, string picture, string expected)
    {
        int extra = Shape.Length - dimensions;
        if (extra < 0 || Shape[..extra].Any(size => size != 1) || Elements.Length == 0)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"{picture} takes values {expected}, not [{string.Join(", ", Shape)}].",
                "Index or reduce the value first, for example `value[0]` or `value.Mean(0)`.");
        return extra == 0 ? this : new PlotValues(Elements, Shape[extra..], _isSingle);
    }

    /// <summary>A result of a run: a tensor, a number, or a list of them, which is stacked.</summary>
    internal static PlotValues From(object? result) => result switch
    {
        TensorData tensor => tensor,
        double number => number,
        long number => (double)number,
        bool flag => flag ? 1 : 0,
        object?[] items => Stack([.. items.Select(From)], items.Length),
        _ => throw Errors.CreateException(ErrorCode.BadArgument,
            $"A {result?.GetType().Name ?? "null"} cannot be drawn: it is neither a tensor nor a number nor a list of them.",
            "Save the tensor inside of it."),
    };

    /// <summary>Values of equal shape as one, with the sizes of the new dimensions in front.</summary>
    internal static PlotValues Stack(PlotValues[] parts, params int[] outer)
    {
        foreach (PlotValues part in parts)
        {
            if (!part.Shape.AsSpan().SequenceEqual(parts[0].Shape))
                throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"Values of one picture have one shape, not [{string.Join(", ", parts[0].Shape)}] and [{string.Join(", ", part.Shape)}].",
                    "Save the same part of each, for example `value[0, ^1]`.");
        }
        int[] inner = parts.Length == 0 ? [] : parts[0].Shape;
        return new PlotValues([.. parts.SelectMany(p => p.Elements)], [.. outer, .. inner], parts.All(p => p._isSingle));
    }

    /// <summary>A number in the shortest text that reads back as the same number of its type.</summary>
    internal string ToText(double number) =>
        _isSingle && (double)(float)number == number ? ((float)number).ToString("R", CultureInfo.InvariantCulture) : ToRoundTrip(number);

    /// <summary>A number of 64 bits in the shortest text that reads back as the same.</summary>
    internal static string ToRoundTrip(double number) => number.ToString("R", CultureInfo.InvariantCulture);
}
