namespace Ndif.Engine.Generating;

/// <summary>
/// The random numbers of a row. Each is a function of seed, step and draw alone (SplitMix64 as a counter-based generator), so that it does
/// not depend on other rows of the batch, and a restarted run draws the same numbers.
/// </summary>
/// <remarks>
/// Row i of a trace with seed s has the numbers of a single row with seed s + i. SplitMix64: Steele, Lea, Flood 2014, "Fast Splittable
/// Pseudorandom Number Generators", figure 17.
/// </remarks>
internal readonly struct RowRandomGenerator(ulong seed)
{
    private const ulong GoldenGamma = 0x9E3779B97F4A7C15;

    /// <summary>A number from 0 to below 1 with 53 random bits.</summary>
    public double UniformAt(int step, int draw = 0)
    {
        ulong counter = ((ulong)(uint)step << 20) + (uint)draw + 1;
        return (MixBits(MixBits(seed + GoldenGamma) + counter * GoldenGamma) >> 11) * (1.0 / (1UL << 53));
    }

    /// <summary>The finalizer of SplitMix64: similar inputs have unrelated results.</summary>
    public static ulong MixBits(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
