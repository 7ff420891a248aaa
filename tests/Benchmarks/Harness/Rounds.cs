using System.Diagnostics;

namespace Ndif.Benchmarks.Harness;

/// <summary>
/// Times of several things that were done in turn: A B C, B C A, C A B, ... A machine that others use too is slow for a while
/// and then is not. So things are compared within a round only, and of all rounds those count in which the compared things took the
/// least time together: the quietest quarter, a choice that favours neither. What is told is the median over them.
/// </summary>
internal sealed class Rounds
{
    private const int Part = 4, Fewest = 5;

    private readonly double[][] _seconds;   // [round][thing]
    private readonly double[][] _processor; // the same, of all threads of this process

    private Rounds(int rounds, int things) => (_seconds, _processor) = (New(rounds, things), New(rounds, things));

    /// <summary>Each thing is done a few times before, so that its code is compiled and its memory touched.</summary>
    public static Rounds Take(int count, int before, params Action[] things) => TakeFresh(count, before, () => { }, things);

    /// <summary>The same, with something that is done before each, outside of its time.</summary>
    public static Rounds TakeFresh(int count, int before, Action prepare, params Action[] things)
    {
        foreach (Action thing in things)
            for (int i = 0; i < before; i++) thing();
        GC.Collect();
        var rounds = new Rounds(count, things.Length);
        for (int round = 0; round < count; round++)
        {
            for (int i = 0; i < things.Length; i++)
            {
                int thing = (round + i) % things.Length;
                prepare();
                TimeSpan used = Processor();
                long from = Stopwatch.GetTimestamp();
                things[thing]();
                rounds._seconds[round][thing] = Stopwatch.GetElapsedTime(from).TotalSeconds;
                rounds._processor[round][thing] = (Processor() - used).TotalSeconds;
            }
        }
        return rounds;
    }

    /// <summary>The same for things that wait.</summary>
    public static async Task<Rounds> TakeAsync(int count, int before, CancellationToken cancellationToken, params Func<Task>[] things)
    {
        foreach (Func<Task> thing in things)
            for (int i = 0; i < before; i++) await thing();
        GC.Collect();
        var rounds = new Rounds(count, things.Length);
        for (int round = 0; round < count; round++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            for (int i = 0; i < things.Length; i++)
            {
                int thing = (round + i) % things.Length;
                long from = Stopwatch.GetTimestamp();
                await things[thing]();
                rounds._seconds[round][thing] = Stopwatch.GetElapsedTime(from).TotalSeconds;
            }
        }
        return rounds;
    }

    /// <summary>How many times as long as its rival a thing took.</summary>
    public Estimate Ratio(int thing, int rival) => Estimate.Of(Quiet(thing, rival).Select(round => round[thing] / round[rival]));

    /// <summary>
    /// How many times the rival's processor time a thing used, median of all rounds: what other processes do hardly touches it, but
    /// of two threads' work a delay on one of them is only half.
    /// </summary>
    public Estimate ProcessorRatio(int thing, int rival) => Estimate.Of(_processor.Select(round => round[thing] / round[rival]));

    /// <summary>How much longer than its rival a thing took, in seconds.</summary>
    public Estimate Difference(int thing, int rival) => Estimate.Of(Quiet(thing, rival).Select(round => round[thing] - round[rival]));

    /// <summary>Seconds, in the rounds in which this thing was quickest.</summary>
    public Estimate Time(int thing) => Estimate.Of(Quiet(thing).Select(round => round[thing]));

    /// <summary>Seconds below which a thing stayed in this part of all rounds, noisy ones included: 0.5, 0.99.</summary>
    public double Quantile(int thing, double part) => Estimate.Quantile([.. _seconds.Select(round => round[thing]).Order()], part);

    private IEnumerable<double[]> Quiet(params int[] things) =>
        _seconds.OrderBy(round => things.Sum(thing => round[thing])).Take(Math.Max(_seconds.Length / Part, Math.Min(Fewest, _seconds.Length)));

    private static TimeSpan Processor() => Environment.CpuUsage.TotalTime;

    private static double[][] New(int rounds, int things) => [.. Enumerable.Range(0, rounds).Select(_ => new double[things])];
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

    public static double Quantile(double[] sorted, double part)
    {
        double at = part * (sorted.Length - 1);
        int below = (int)at;
        return below + 1 < sorted.Length ? sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]) : sorted[below];
    }
}
