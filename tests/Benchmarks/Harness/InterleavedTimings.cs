using System.Diagnostics;

namespace Ndif.Benchmarks.Harness;

/// <summary>
/// The times of several candidates that ran in turn: A B C, B C A, C A B, ... A shared machine is slow for a while and then is not, so
/// candidates are compared within a round only. Only the quietest quarter of the rounds counts: those in which the compared candidates took
/// the least time together, a choice that favours neither. The result is the median over them.
/// </summary>
internal sealed class InterleavedTimings
{
    private const int QuietFraction = 4, MinRounds = 5;

    private readonly double[][] _seconds;   // [round][candidate]
    private readonly double[][] _processor; // the same, of all threads of this process

    private InterleavedTimings(int rounds, int candidates) => (_seconds, _processor) = (New(rounds, candidates), New(rounds, candidates));

    /// <param name="warmup">How often each candidate runs before, so that its code is compiled and its memory is touched.</param>
    public static InterleavedTimings Measure(int count, int warmup, params Action[] candidates) => MeasureWithSetup(count, warmup, () => { }, candidates);

    /// <param name="setUp">Runs before each candidate, outside of the measured time.</param>
    public static InterleavedTimings MeasureWithSetup(int count, int warmup, Action setUp, params Action[] candidates)
    {
        foreach (Action action in candidates)
            for (int i = 0; i < warmup; i++) action();
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

    /// <summary>The same for asynchronous candidates.</summary>
    public static async Task<InterleavedTimings> MeasureAsync(int count, int warmup, CancellationToken cancellationToken, params Func<Task>[] candidates)
    {
        foreach (Func<Task> action in candidates)
            for (int i = 0; i < warmup; i++) await action();
        GC.Collect();
        var rounds = new InterleavedTimings(count, candidates.Length);
        for (int round = 0; round < count; round++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            for (int i = 0; i < candidates.Length; i++)
            {
                int candidate = (round + i) % candidates.Length;
                long from = Stopwatch.GetTimestamp();
                await candidates[candidate]();
                rounds._seconds[round][candidate] = Stopwatch.GetElapsedTime(from).TotalSeconds;
            }
        }
        return rounds;
    }

    /// <summary>The time of a candidate divided by that of the baseline.</summary>
    public Estimate Ratio(int candidate, int baseline) => Estimate.Of(QuietestRounds(candidate, baseline).Select(round => round[candidate] / round[baseline]));

    /// <summary>
    /// The processor time of a candidate divided by that of the baseline, as the median of all rounds. Other processes hardly affect it, but
    /// a delay on one of two threads counts only half.
    /// </summary>
    public Estimate ProcessorRatio(int candidate, int baseline) => Estimate.Of(_processor.Select(round => round[candidate] / round[baseline]));

    /// <summary>The time of a candidate less that of the baseline, in seconds.</summary>
    public Estimate Difference(int candidate, int baseline) => Estimate.Of(QuietestRounds(candidate, baseline).Select(round => round[candidate] - round[baseline]));

    /// <summary>The seconds of a candidate, in the rounds in which it was fastest.</summary>
    public Estimate Time(int candidate) => Estimate.Of(QuietestRounds(candidate).Select(round => round[candidate]));

    /// <summary>A quantile of the seconds of a candidate over all rounds, noisy ones included: 0.5, 0.99.</summary>
    public double Quantile(int candidate, double quantile) => Estimate.Quantile([.. _seconds.Select(round => round[candidate]).Order()], quantile);

    private IEnumerable<double[]> QuietestRounds(params int[] candidates) =>
        _seconds.OrderBy(round => candidates.Sum(candidate => round[candidate])).Take(Math.Max(_seconds.Length / QuietFraction, Math.Min(MinRounds, _seconds.Length)));

    private static TimeSpan ProcessorTime() => Environment.CpuUsage.TotalTime;

    private static double[][] New(int rounds, int candidates) => [.. Enumerable.Range(0, rounds).Select(_ => new double[candidates])];
}

/// <summary>A median, and the distance within which the median of another run is expected (95 %: the notch of a box plot, McGill et al., 1978).</summary>
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
