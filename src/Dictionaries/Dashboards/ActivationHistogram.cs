namespace Ndif.Dictionaries.Dashboards;

/// <summary>
/// How often a feature had which activation, in bins of one width from 0 on. The width doubles when a value lies beyond the last bin, so
/// that the range need not be known before.
/// </summary>
public sealed class ActivationHistogram
{
    private const int BinCount = 40;

    private readonly long[] _counts = new long[BinCount];

    /// <summary>The width of a bin; 0 as long as there is no value.</summary>
    public double Width { get; private set; }

    /// <summary>The number of values in each bin.</summary>
    public IReadOnlyList<long> Counts => _counts;

    /// <summary>Counts an activation above 0.</summary>
    internal void Add(double value)
    {
        if (Width == 0) Width = value * 2 / BinCount;
        while (value >= Width * BinCount)
        {
            for (int i = 0; i < BinCount / 2; i++) _counts[i] = _counts[2 * i] + _counts[2 * i + 1];
            Array.Clear(_counts, BinCount / 2, BinCount / 2);
            Width *= 2;
        }
        _counts[Math.Min((int)(value / Width), BinCount - 1)]++;
    }
}
