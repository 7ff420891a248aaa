namespace Ndif.Benchmarks.Harness;

/// <summary>
/// Benchmarks that belong together and share what is expensive to create: one class per file in Groups/, and one line in Program.cs.
/// </summary>
internal abstract class BenchmarkGroup : IAsyncDisposable
{
    public abstract string Name { get; }

    public abstract IReadOnlyList<Benchmark> Entries { get; }

    public virtual ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>A measurement that gives one or several figures.</summary>
/// <param name="Name">"group.what", with which the names of its figures begin.</param>
internal sealed record Benchmark(string Name, Func<RunSettings, CancellationToken, Task<IReadOnlyList<Measurement>>> Measure)
{
    /// <summary>A measurement on one thread, as dispose scopes require.</summary>
    public static Benchmark Of(string name, Func<RunSettings, IReadOnlyList<Measurement>> measure) => new(name, (pace, _) => Task.FromResult(measure(pace)));
}

/// <summary>How thorough a run is.</summary>
internal sealed record RunSettings(bool IsQuick)
{
    /// <summary>Rounds to measure: a fifth of them, and at least five, in a quick run.</summary>
    public int RoundCount(int full) => IsQuick ? Math.Max(5, full / 5) : full;
}
