using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>Measures the difference of two tensors. A NaN or a difference in shape counts as <see cref="Infinite"/>.</summary>
internal static class TensorDifference
{
    /// <summary>The value for an infinite difference. JSON has no infinity, so it is the largest finite number.</summary>
    public const double Infinite = double.MaxValue;

    /// <summary>The largest absolute difference of two elements.</summary>
    public static double Absolute(Tensor actual, Tensor reference)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        if (!actual.shape.AsSpan().SequenceEqual(reference.shape)) return Infinite;
        if (actual.numel() == 0) return 0;
        return Finite((actual.to(ScalarType.Float64) - reference.to(ScalarType.Float64)).abs().max().item<double>());
    }

    /// <summary>
    /// The largest absolute difference divided by the largest magnitude of the reference, or by <paramref name="floor"/> if that is larger.
    /// </summary>
    public static double Relative(Tensor actual, Tensor reference, double floor = 0) =>
        Ratio(Absolute(actual, reference), Math.Max(Magnitude(reference), floor));

    /// <summary>The largest absolute value of an element.</summary>
    public static double Magnitude(Tensor tensor)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        return tensor.numel() == 0 ? 0 : tensor.abs().max().to(ScalarType.Float64).item<double>();
    }

    public static double Ratio(double difference, double magnitude) =>
        difference == 0 ? 0 : difference >= Infinite || magnitude == 0 ? Infinite : Finite(difference / magnitude);

    public static double Finite(double value) => double.IsFinite(value) ? value : Infinite;
}
