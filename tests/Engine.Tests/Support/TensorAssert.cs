namespace Ndif.Engine.Tests.Support;

internal static class TensorAssert
{
    /// <summary>Asserts equal shapes, and elements that differ by no more than a tolerance.</summary>
    public static void Equal(TensorData expected, TensorData actual, double tolerance = 1e-4)
    {
        Assert.Equal(expected.Shape.ToArray(), actual.Shape.ToArray());
        Assert.InRange(Difference(expected, actual), 0, tolerance);
    }

    /// <summary>Asserts equal bytes.</summary>
    public static void Same(TensorData expected, TensorData actual)
    {
        Assert.Equal(expected.Shape.ToArray(), actual.Shape.ToArray());
        Assert.True(expected.Bytes.Span.SequenceEqual(actual.Bytes.Span), $"They differ by up to {Difference(expected, actual)}.");
    }

    public static void NotEqual(TensorData expected, TensorData actual) =>
        Assert.True(Difference(expected, actual) > 1e-3, "They are the same.");

    public static double Difference(TensorData a, TensorData b)
    {
        float[] left = a.ToArray<float>(), right = b.ToArray<float>();
        double worst = 0;
        for (int i = 0; i < left.Length; i++) worst = Math.Max(worst, Math.Abs(left[i] - right[i]));
        return worst;
    }

    /// <summary>The token with the highest logit at the last position of each row. [batch, seq, vocab]</summary>
    public static long[] ArgMax(TensorData logits)
    {
        (long rows, long tokens, long vocabulary) = (logits.Shape[0], logits.Shape[1], logits.Shape[2]);
        float[] all = logits.ToArray<float>();
        return [.. Enumerable.Range(0, (int)rows).Select(row =>
        {
            Span<float> last = all.AsSpan((int)(((row + 1) * tokens - 1) * vocabulary), (int)vocabulary);
            return (long)last.IndexOf(System.Numerics.Tensors.TensorPrimitives.Max<float>(last));
        })];
    }
}
