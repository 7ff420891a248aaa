using Ndif.Models;
using Ndif.Models.Loading;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>A model's weights, page by page.</summary>
internal static class WeightPages
{
    private const int Size = 4096;

    /// <summary>Reads one byte of each page of each weight.</summary>
    /// <returns>The sum of the bytes, so that the compiler does not remove the reads.</returns>
    public static long Touch(LoadedModel model)
    {
        long sum = 0;
        foreach (Parameter parameter in model.Modules.SelectMany(m => m.Parameters).Distinct())
        {
            Span<byte> bytes = parameter.Value.bytes;
            for (int at = 0; at < bytes.Length; at += Size) sum += bytes[at];
        }
        return sum;
    }
}
