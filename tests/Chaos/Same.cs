using Ndif.Protocol;

namespace Ndif.Chaos;

/// <summary>Whether a result is what the experiment gives alone: shapes, types and integers exactly, other numbers but for the rounding of another batch.</summary>
internal static class Same
{
    private const double Tolerance = 1e-4; // as tests/EndToEnd/ManyClientsTests.cs

    /// <summary>What differs, in words; null if nothing does.</summary>
    public static string? Difference(Data solo, Data got)
    {
        if (solo.ValueCase != got.ValueCase) return $"a {got.ValueCase} in place of a {solo.ValueCase}";
        switch (solo.ValueCase)
        {
            case Data.ValueOneofCase.Tensor:
                return Difference(TensorData.From(solo.Tensor), TensorData.From(got.Tensor));
            case Data.ValueOneofCase.List:
                if (solo.List.Items.Count != got.List.Items.Count) return $"{got.List.Items.Count} items in place of {solo.List.Items.Count}";
                return solo.List.Items.Zip(got.List.Items).Select(pair => Difference(pair.First, pair.Second)).FirstOrDefault(difference => difference is not null);
            default:
                return solo.Equals(got) ? null : $"{got} in place of {solo}";
        }
    }

    private static string? Difference(TensorData solo, TensorData got)
    {
        if (solo.Type != got.Type || !solo.Shape.SequenceEqual(got.Shape)) return $"{got.Type} [{string.Join(", ", got.Shape.ToArray())}] in place of {solo.Type} [{string.Join(", ", solo.Shape.ToArray())}]";
        if (solo.Type != DType.Float32) return solo.Checksum() == got.Checksum() ? null : "other integers";
        ReadOnlySpan<float> a = solo.Span<float>(), b = got.Span<float>();
        for (int i = 0; i < a.Length; i++)
            if (!(Math.Abs(a[i] - b[i]) <= Tolerance * Math.Max(1, Math.Abs(a[i])))) return $"{b[i]} in place of {a[i]} at {i} of {a.Length}";
        return null;
    }
}
