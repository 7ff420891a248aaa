using Ndif.Protocol;

namespace Ndif.Chaos;

/// <summary>
/// Compares a result with that of the experiment alone: shapes, element types and integers exactly, floating-point values up to the
/// rounding of another batch size.
/// </summary>
internal static class ResultComparer
{
    private const double Tolerance = 1e-4; // as in tests/EndToEnd.Tests/ManyClientsTests.cs

    /// <summary>A description of the difference; null if there is none.</summary>
    public static string? FindDifference(Data expected, Data actual)
    {
        if (expected.ValueCase != actual.ValueCase) return $"a {actual.ValueCase} in place of a {expected.ValueCase}";
        switch (expected.ValueCase)
        {
            case Data.ValueOneofCase.Tensor:
                return FindDifference(TensorData.FromProto(expected.Tensor), TensorData.FromProto(actual.Tensor));
            case Data.ValueOneofCase.List:
                if (expected.List.Items.Count != actual.List.Items.Count)
                    return $"{actual.List.Items.Count} items in place of {expected.List.Items.Count}";
                return expected.List.Items.Zip(actual.List.Items).Select(pair => FindDifference(pair.First, pair.Second))
                    .FirstOrDefault(difference => difference is not null);
            default:
                return expected.Equals(actual) ? null : $"{actual} in place of {expected}";
        }
    }

    private static string? FindDifference(TensorData expected, TensorData actual)
    {
        if (expected.Type != actual.Type || !expected.Shape.SequenceEqual(actual.Shape))
            return $"{actual.Type} [{string.Join(", ", actual.Shape.ToArray())}] in place of {expected.Type} "
                + $"[{string.Join(", ", expected.Shape.ToArray())}]";
        if (expected.Type != DType.Float32) return expected.Checksum() == actual.Checksum() ? null : "other integers";
        ReadOnlySpan<float> a = expected.Span<float>(), b = actual.Span<float>();
        for (int i = 0; i < a.Length; i++)
            if (!(Math.Abs(a[i] - b[i]) <= Tolerance * Math.Max(1, Math.Abs(a[i]))))
                return $"{b[i]} in place of {a[i]} at {i} of {a.Length}";
        return null;
    }
}
