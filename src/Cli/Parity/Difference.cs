using System.Text.Json;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>How far two values are apart. What is not a number, or not of the same shape, is infinitely far.</summary>
internal static class Difference
{
    /// <summary>Written instead of an infinity, which JSON does not have.</summary>
    public const double Infinite = double.MaxValue;

    /// <summary>The largest absolute difference.</summary>
    public static double Absolute(Tensor ours, Tensor reference)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        if (!ours.shape.AsSpan().SequenceEqual(reference.shape)) return Infinite;
        if (ours.numel() == 0) return 0;
        return Finite((ours.to(ScalarType.Float64) - reference.to(ScalarType.Float64)).abs().max().item<double>());
    }

    /// <summary>The same, relative to the reference's largest magnitude, but at least to <paramref name="floor"/>.</summary>
    public static double Relative(Tensor ours, Tensor reference, double floor = 0) =>
        Ratio(Absolute(ours, reference), Math.Max(Magnitude(reference), floor));

    public static double Magnitude(Tensor tensor)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        return tensor.numel() == 0 ? 0 : tensor.abs().max().to(ScalarType.Float64).item<double>();
    }

    public static double Ratio(double difference, double magnitude) =>
        difference == 0 ? 0 : difference >= Infinite || magnitude == 0 ? Infinite : Finite(difference / magnitude);

    public static double Finite(double value) => double.IsFinite(value) ? value : Infinite;
}

/// <summary>A tensor in short, as golden.json has it: shape, sums, the first and last four numbers.</summary>
internal sealed record Digest(long[] Shape, double Sum, double AbsoluteSum, double[] First, double[] Last)
{
    private long Count => Math.Max(1, Shape.Aggregate(1L, (product, size) => product * size));

    /// <summary>A magnitude that the tensor certainly has: the largest number known of it, or the mean.</summary>
    public double Magnitude => First.Concat(Last).Select(Math.Abs).Append(AbsoluteSum / Count).Max();

    public static Digest Of(Tensor tensor)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor flat = tensor.detach().to(ScalarType.Float64).reshape(-1); // [all]
        double[] numbers = flat.data<double>().ToArray();
        return new Digest(tensor.shape, flat.sum().item<double>(), flat.abs().sum().item<double>(), numbers[..Math.Min(4, numbers.Length)],
            numbers[^Math.Min(4, numbers.Length)..]);
    }

    public static Digest Read(JsonElement json) => new(
        [.. json.GetProperty("shape").EnumerateArray().Select(v => v.GetInt64())],
        json.GetProperty("sum").GetDouble(), json.GetProperty("abs_sum").GetDouble(),
        [.. json.GetProperty("first").EnumerateArray().Select(v => v.GetDouble())],
        [.. json.GetProperty("last").EnumerateArray().Select(v => v.GetDouble())]);

    /// <summary>The largest absolute difference of the numbers known; for the sums, the mean one.</summary>
    public double Difference(Digest reference)
    {
        if (!Shape.AsSpan().SequenceEqual(reference.Shape)) return Parity.Difference.Infinite;
        return Parity.Difference.Finite(First.Zip(reference.First).Concat(Last.Zip(reference.Last))
            .Select(pair => Math.Abs(pair.First - pair.Second))
            .Append(Math.Abs(Sum - reference.Sum) / Count).Append(Math.Abs(AbsoluteSum - reference.AbsoluteSum) / Count).Max());
    }
}
