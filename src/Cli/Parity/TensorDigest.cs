using System.Text.Json;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>
/// The summary of a tensor in golden.json: the sums of its elements, and in most places its shape and its first and last four elements.
/// </summary>
internal sealed record TensorDigest(long[] Shape, double Sum, double AbsoluteSum, double[] First, double[] Last)
{
    private long Count => Math.Max(1, Shape.Aggregate(1L, (product, size) => product * size));

    /// <summary>A lower bound of the largest magnitude: that of the known elements, or the mean magnitude if it is larger.</summary>
    /// <param name="count">The number of elements, which a digest without a shape does not have.</param>
    public double MagnitudeFor(long count) => First.Concat(Last).Select(Math.Abs).Append(AbsoluteSum / Math.Max(1, count)).Max();

    public static TensorDigest Of(Tensor tensor)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        Tensor real = tensor.is_complex() ? tensor.detach().real : tensor.detach();
        Tensor flat = real.to(ScalarType.Float64).reshape(-1); // [numel]
        double[] elements = flat.data<double>().ToArray();
        int count = Math.Min(4, elements.Length);
        return new TensorDigest(
            tensor.shape, flat.sum().item<double>(), flat.abs().sum().item<double>(), elements[..count], elements[^count..]);
    }

    public static TensorDigest Read(JsonElement json) => new(
        [.. List(json, "shape").Select(v => v.GetInt64())],
        json.GetProperty("sum").GetDouble(), json.GetProperty("abs_sum").GetDouble(),
        [.. List(json, "first").Select(v => v.GetDouble())], [.. List(json, "last").Select(v => v.GetDouble())]);

    /// <summary>Whether the reference has only the sums.</summary>
    private bool HasSumsOnly => First.Length == 0;

    /// <summary>The sums of several tensors together.</summary>
    public static TensorDigest Combine(IEnumerable<TensorDigest> digests)
    {
        TensorDigest[] all = [.. digests];
        return new TensorDigest([all.Sum(d => d.Count)], all.Sum(d => d.Sum), all.Sum(d => d.AbsoluteSum), [], []);
    }

    /// <summary>The largest absolute difference of the known elements and of the means of the elements and magnitudes.</summary>
    public double MaxDifference(TensorDigest reference)
    {
        if (!reference.HasSumsOnly && !Shape.AsSpan().SequenceEqual(reference.Shape)) return TensorDifference.Infinite;
        return TensorDifference.Finite(First.Zip(reference.First).Concat(Last.Zip(reference.Last))
            .Select(pair => Math.Abs(pair.First - pair.Second))
            .Append(Math.Abs(Sum - reference.Sum) / Count).Append(Math.Abs(AbsoluteSum - reference.AbsoluteSum) / Count).Max());
    }

    private static JsonElement.ArrayEnumerator List(JsonElement json, string key) =>
        json.TryGetProperty(key, out JsonElement list) ? list.EnumerateArray() : default;
}
