using System.Diagnostics;

namespace Ndif.Benchmarks.Harness;

/// <summary>
/// Times of several things that were done in turn: A B C, B C A, C A B, ... A machine that others use too is slow for a while
/// and then is not. So things are compared within a round only, and of all rounds those count in which the compared things took the
/// least time together: the quietest quarter, a choice that favours neither. What is told is the median over them.
/// </summary>
internal sealed class InterleavedTimings
{
    private const int QuietFraction = 4, MinRounds = 5;

    private readonly double[][] _seconds;   // [round][thing]
    private readonly double[][] _processor; // the same, of all threads of this process

    private InterleavedTimings(int rounds, int candidates) => (_seconds, _processor) = (New(rounds, candidates), New(rounds, candidates));

    /// <summary>Each thing is done a few times before, so that its code is compiled and its memory touched.</summary>
    public static InterleavedTimings Measure(int count, int warmup, params Action[] candidates) => MeasureWithSetup(count, warmup, () => { }, candidates);

    /// <summary>The same, with something that is done before each, outside of its time.</summary>
    public static InterleavedTimings MeasureWithSetup(int count, int warmup, Action setUp, params Action[] candidates)
    {
        foreach (Action thing in candidates)
            for (int i = 0; i < warmup; i++) thing();
        GC.Collect();
        var rounds = new InterleavedTimings(count, candidates.Length);
        for (int round = 0; round < count; round++)
        {
            for (int i = 0; i < candidates.Length; i++)
            {
                int thing = (round + i) % candidates.Length;
                setUp();
                TimeSpan used = ProcessorTime();
                long from = Stopwatch.GetTimestamp();
                candidates[thing]();
                rounds._seconds[round][thing] = Stopwatch.GetElapsedTime(from).TotalSeconds;
                rounds._processor[round][thing] = (ProcessorTime() - used).TotalSeconds;
            }
        }
        return rounds;
    }

    /// <summary>The same for things that wait.</summary>
    public static async Task<InterleavedTimings> MeasureAsync(int count, int warmup, CancellationToken cancellationToken, params Func<Task>[] candidates)
    {
        foreach (Func<Task> thing in candidates)
            for (int i = 0; i < warmup; i++) await thing();
        GC.Collect();
        var rounds = new InterleavedTimings(count, candidates.Length);
        for (int round = 0; round < count; round++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            for (int i = 0; i < candidates.Length; i++)
            {
                int thing = (round + i) % candidates.Length;
                long from = Stopwatch.GetTimestamp();
                await candidates[thing]();
                rounds._seconds[round][thing] = Stopwatch.GetElapsedTime(from).TotalSeconds;
            }
        }
        return rounds;
    }

    /// <summary>How many times as long as its rival a thing took.</summary>
    public Estimate Ratio(int candidate, int baseline) => Estimate.Of(QuietestRounds(candidate, baseline).Select(round => round[candidate] / round[baseline]));

    /// <summary>
    /// How many times the rival's processor time a thing used, median of all rounds: what other processes do hardly touches it, but
    /// of two threads' work a delay on one of them is only half.
    /// </summary>
    public Estimate ProcessorRatio(int candidate, int baseline) => Estimate.Of(_processor.Select(round => round[candidate] / round[baseline]));

    /// <summary>How much longer than its rival a thing took, in seconds.</summary>
    public Estimate Difference(int candidate, int baseline) => Estimate.Of(QuietestRounds(candidate, baseline).Select(round => round[candidate] - round[baseline]));

    /// <summary>Seconds, in the rounds in which this thing was quickest.</summary>
    public Estimate Time(int candidate) => Estimate.Of(QuietestRounds(candidate).Select(round => round[candidate]));

    /// <summary>Seconds below which a thing stayed in this part of all rounds, noisy ones included: 0.5, 0.99.</summary>
    public double Quantile(int candidate, double quantile) => Estimate.Quantile([.. _seconds.Select(round => round[candidate]).Order()], quantile);

    private IEnumerable<double[]> QuietestRounds(params int[] candidates) =>
        _seconds.OrderBy(round => candidates.Sum(thing => round[thing])).Take(Math.Max(_seconds.Length / QuietFraction, Math.Min(MinRounds, _seconds.Length)));

    private static TimeSpan ProcessorTime() => Environment.CpuUsage.TotalTime;

    private static double[][] New(int rounds, int candidates) => [.. Enumerable.Range(0, rounds).Select(_ => new double[candidates])];
}

/// <summary>A median, and how far another run's median may be from it (95 %: the notch of a box plot, McGill et al., 1978).</summary>
internal readonly record struct Estimate(double Median, double Margin)
{
    public static Estimate Of(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        double spread = Quantile(sorted, 0.75) - Quantile(sorted, 0.25);
        return new Estimate(Quantile(sorted, 0.5), 1.57 * spread / Math.Sqrt(sorted.Length));
    }

    public static double Quantile(double[] sorted, double quantile)
    {
        double at = quantile * (sorted.Length - 1);
        int below = (int)at;
        return below + 1 < sorted.Length ? sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]) : sorted[below];
    }
}
