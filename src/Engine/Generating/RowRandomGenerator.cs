namespace Ndif.Engine.Generating;

/// <summary>
/// A row's random numbers: the number of a draw is a function of seed, step and draw alone (SplitMix64 as a counter-based
/// generator), so that it depends on nobody else in the batch, and a run that is begun again draws the same.
/// </summary>
/// <remarks>
/// Row i of a trace with seed s has the numbers of a row alone with seed s + i. SplitMix64: Steele, Lea, Flood 2014, "Fast Splittable
/// Pseudorandom Number Generators", figure 17.
/// </remarks>
internal readonly struct RowRandomGenerator(ulong seed)
{
    private const ulong GoldenGamma = 0x9E3779B97F4A7C15;

    /// <summary>A number from 0 to below 1, of 53 bits.</summary>
    public double UniformAt(int step, int draw = 0) => (MixBits(MixBits(seed + GoldenGamma) + (((ulong)(uint)step << 20) + (uint)draw + 1) * GoldenGamma) >> 11) * (1.0 / (1UL << 53));

    /// <summary>A well mixed function of a number: what is near becomes far.</summary>
    public static ulong MixBits(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
