using System.Diagnostics;

namespace Ndif.Benchmarks.Harness;

/// <summary>
/// The times of short actions, of which the best counts: an action of microseconds finds a moment in which nothing disturbs it, so that its
/// shortest time is almost the same in every run. The actions run in turn. The runs are divided into five parts with a shortest time each,
/// whose range shows how far the figure can be trusted.
/// </summary>
internal sealed class BestTimes
{
    private const int Parts = 5;

    private readonly double[][] _seconds; // [part][action]

    private BestTimes(double[][] seconds) => _seconds = seconds;

    /// <param name="count">The number of runs of each action.</param>
    /// <param name="warmup">The runs before, so that the code is compiled with optimizations.</param>
    public static BestTimes Measure(int count, int warmup, params Action[] candidates)
    {
        for (int i = 0; i < warmup; i++)
            foreach (Action candidate in candidates) candidate();
        double[][] seconds = [.. Enumerable.Range(0, Parts).Select(_ => new double[candidates.Length])];
        foreach (double[] part in seconds) Array.Fill(part, double.PositiveInfinity);
        foreach (double[] part in seconds)
        {
            GC.Collect();
            for (int run = 0; run < Math.Max(1, count / Parts); run++)
            {
                for (int i = 0; i < candidates.Length; i++)
                {
                    int candidate = (run + i) % candidates.Length;
                    long from = Stopwatch.GetTimestamp();
                    candidates[candidate]();
                    part[candidate] = Math.Min(part[candidate], Stopwatch.GetElapsedTime(from).TotalSeconds);
                }
            }
        }
        return new BestTimes(seconds);
    }

    /// <summary>The time of an action in seconds.</summary>
    public Best Time(int candidate) => Best.Of(part => part[candidate], _seconds);

    /// <summary>The time of an action less that of its baseline, in seconds.</summary>
    public Best Difference(int candidate, int baseline) => Best.Of(part => part[candidate] - part[baseline], _seconds);
}

/// <summary>A figure of the shortest times of all runs, and the range of the same figure over the parts.</summary>
internal readonly record struct Best(double Value, double Low, double High)
{
    public static Best Of(Func<double[], double> figure, double[][] parts)
    {
        double[] shortest = [.. Enumerable.Range(0, parts[0].Length).Select(candidate => parts.Min(part => part[candidate]))];
        return new Best(figure(shortest), parts.Min(figure), parts.Max(figure));
    }

    public static Best operator *(double factor, Best best) => new(factor * best.Value, factor * best.Low, factor * best.High);

    /// <summary>The range, for example "0.41 to 0.47".</summary>
    public string Range => FormattableString.Invariant($"{Low:0.###} to {High:0.###}");
}
