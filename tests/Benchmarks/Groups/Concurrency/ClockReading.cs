using System.Diagnostics;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>A moment by two clocks: that of the wall, and the processor time that all threads of this process have used.</summary>
internal readonly record struct ClockReading(long Timestamp, TimeSpan Processor)
{
    public static ClockReading Now => new(Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime);

    public static Elapsed operator -(ClockReading to, ClockReading from) =>
        new(Stopwatch.GetElapsedTime(from.Timestamp, to.Timestamp).TotalSeconds, (to.Processor - from.Processor).TotalSeconds);
}

/// <summary>The seconds between two moments, of the wall's clock and of all threads.</summary>
internal readonly record struct Elapsed(double Wall, double Processor)
{
    public static Elapsed operator +(Elapsed left, Elapsed right) => new(left.Wall + right.Wall, left.Processor + right.Processor);

    public static Elapsed operator *(double factor, Elapsed time) => new(factor * time.Wall, factor * time.Processor);
}
