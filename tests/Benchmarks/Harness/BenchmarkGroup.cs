namespace Ndif.Benchmarks.Harness;

/// <summary>
/// Related measurements that share expensive setup. Each group is a class in Groups/ and a line in Program.cs.
/// </summary>
internal abstract class BenchmarkGroup : IAsyncDisposable
{
    public abstract string Name { get; }

    public abstract IReadOnlyList<Benchmark> Entries { get; }

    public virtual ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>One measurement, which returns one or several figures.</summary>
/// <param name="Name">The name, "group.subject", with which the names of its figures start.</param>
internal sealed record Benchmark(string Name, Func<RunSettings, CancellationToken, Task<IReadOnlyList<Measurement>>> Measure)
{
    /// <summary>A measurement that runs on one thread, which is required for code that uses dispose scopes.</summary>
    public static Benchmark Of(string name, Func<RunSettings, IReadOnlyList<Measurement>> measure) =>
        new(name, (settings, _) => Task.FromResult(measure(settings)));
}

/// <summary>The thoroughness of a run.</summary>
internal sealed record RunSettings(bool IsQuick)
{
    /// <summary>The number of rounds to measure. A quick run measures a fifth of them, but at least five.</summary>
    public int RoundCount(int full) => IsQuick ? Math.Max(5, full / 5) : full;
}
