using System.Diagnostics;

namespace Ndif.Benchmarks.Harness;

/// <summary>
/// The times of several actions that run alternately: A B C, B C A, C A B, ... The speed of a shared machine varies, so actions are
/// compared only within a round. Of all rounds, the quarter is used in which the compared actions took the least time together, a choice
/// that favors neither action. The result is the median of these rounds.
/// </summary>
internal sealed class InterleavedTimings
{
    private const int QuietFraction = 4, MinRounds = 5;

    private readonly double[][] _seconds;   // [round][action]
    private readonly double[][] _processor; // [round][action], processor time of all threads of this process

    private InterleavedTimings(int rounds, int candidates) => (_seconds, _processor) = (New(rounds, candidates), New(rounds, candidates));

    /// <summary>Measures actions. Each runs a few times before, so that its code is compiled and its memory is mapped.</summary>
    public static InterleavedTimings Measure(int count, int warmup, params Action[] candidates) =>
        MeasureWithSetup(count, warmup, () => { }, candidates);

    /// <summary>Measures actions with a preparation before each, which is not part of the time.</summary>
    public static InterleavedTimings MeasureWithSetup(int count, int warmup, Action setUp, params Action[] candidates)
    {
        foreach (Action candidate in candidates)
            for (int i = 0; i < warmup; i++) candidate();
        GC.Collect();
        var rounds = new InterleavedTimings(count, candidates.Length);
        for (int round = 0; round < count; round++)
        {
            for (int i = 0; i < candidates.Length; i++)
            {
                int candidate = (round + i) % candidates.Length;
                setUp();
                TimeSpan used = ProcessorTime();
                long from = Stopwatch.GetTimestamp();
                candidates[candidate]();
                rounds._seconds[round][candidate] = Stopwatch.GetElapsedTime(from).TotalSeconds;
                rounds._processor[round][candidate] = (ProcessorTime() - used).TotalSeconds;
            }
        }
        return rounds;
    }

    /// <summary>Measures asynchronous actions.</summary>
    public static async Task<InterleavedTimings> MeasureAsync(int count, int warmup, CancellationToken cancellationToken,
        params Func<Task>[] candidates)
    {
        foreach (Func<Task> candidate in candidates)
            for (int i = 0; i < warmup; i++) await candidate();
        GC.Collect();
        var rounds = new InterleavedTimings(count, candidates.Length);
        for (int round = 0; round < count; round++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            for (int i = 0; i < candidates.Length; i++)
            {
                int candidate = (round + i) % candidates.Length;
                TimeSpan used = ProcessorTime();
                long from = Stopwatch.GetTimestamp();
                await candidates[candidate]();
                rounds._seconds[round][candidate] = Stopwatch.GetElapsedTime(from).TotalSeconds;
                rounds._processor[round][candidate] = (ProcessorTime() - used).TotalSeconds;
            }
        }
        return rounds;
    }

    /// <summary>The time of an action relative to that of its baseline.</summary>
    public Estimate Ratio(int candidate, int baseline) =>
        Estimate.Of(QuietestRounds(candidate, baseline).Select(round => round[candidate] / round[baseline]));

    /// <summary>
    /// The processor time of an action relative to that of its baseline, as the median of all rounds. Other processes hardly affect it, but
    /// for work on two threads it shows only half of a delay on one of them.
    /// </summary>
    public Estimate ProcessorRatio(int candidate, int baseline) =>
        Estimate.Of(_processor.Select(round => round[candidate] / round[baseline]));

    /// <summary>The time of an action minus that of its baseline, in seconds.</summary>
    public Estimate Difference(int candidate, int baseline) =>
        Estimate.Of(QuietestRounds(candidate, baseline).Select(round => round[candidate] - round[baseline]));

    /// <summary>The time of an action in seconds, in the rounds in which it was fastest.</summary>
    public Estimate Time(int candidate) => Estimate.Of(QuietestRounds(candidate).Select(round => round[candidate]));

    /// <summary>A quantile of the time of an action over all rounds, in seconds, for example 0.5 or 0.99.</summary>
    public double Quantile(int candidate, double quantile) =>
        Estimate.Quantile([.. _seconds.Select(round => round[candidate]).Order()], quantile);

    private IEnumerable<double[]> QuietestRounds(params int[] candidates) =>
        _seconds.OrderBy(round => candidates.Sum(candidate => round[candidate]))
        .Take(Math.Max(_seconds.Length / QuietFraction, Math.Min(MinRounds, _seconds.Length)));

    private static TimeSpan ProcessorTime() => Environment.CpuUsage.TotalTime;

    private static double[][] New(int rounds, int candidates) => [.. Enumerable.Range(0, rounds).Select(_ => new double[candidates])];
}

/// <summary>A median and the half width of its 95 % confidence interval (the notch of a box plot, McGill et al., 1978).</summary>
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
