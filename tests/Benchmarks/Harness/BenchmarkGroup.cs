namespace Ndif.Benchmarks.Harness;

/// <summary>
/// Measurements that belong together and share what is costly to make: one class per file in Groups/, and one line in Program.cs.
/// </summary>
internal abstract class BenchmarkGroup : IAsyncDisposable
{
    public abstract string Name { get; }

    public abstract IReadOnlyList<Benchmark> Entries { get; }

    public virtual ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>One measurement, which gives one figure or several.</summary>
/// <param name="Name">"group.what": its figures' names begin with it.</param>
internal sealed record Benchmark(string Name, Func<RunSettings, CancellationToken, Task<IReadOnlyList<Measurement>>> Measure)
{
    /// <summary>A measurement that stays on one thread, as everything that touches dispose scopes must.</summary>
    public static Benchmark Of(string name, Func<RunSettings, IReadOnlyList<Measurement>> measure) => new(name, (pace, _) => Task.FromResult(measure(pace)));
}

/// <summary>How thorough a run is.</summary>
internal sealed record RunSettings(bool IsQuick)
{
    /// <summary>Rounds to measure: a fifth of them, and at least five, in a quick run.</summary>
    public int RoundCount(int full) => IsQuick ? Math.Max(5, full / 5) : full;
}
