namespace Ndif.Benchmarks.Harness;

/// <summary>Measures one benchmark after the other. A benchmark that fails is reported, and the others are still measured.</summary>
/// <param name="filter">Only benchmarks whose name contains this text.</param>
/// <param name="progress">The writer that receives the progress.</param>
internal sealed class BenchmarkRun(RunSettings settings, string filter, TextWriter progress)
{
    private readonly List<Measurement> _figures = [];
    private readonly List<BenchmarkFailure> _failures = [];

    public IReadOnlyList<Measurement> Figures => _figures;

    public IReadOnlyList<BenchmarkFailure> Failures => _failures;

    /// <summary>Measures a group's benchmarks, then disposes the group.</summary>
    public async Task MeasureAsync(BenchmarkGroup group, CancellationToken cancellationToken)
    {
        foreach (Benchmark benchmark in group.Entries.Where(entry => entry.Name.Contains(filter, StringComparison.OrdinalIgnoreCase)))
            await AttemptAsync(benchmark.Name, () => MeasureAsync(benchmark, cancellationToken), cancellationToken);
        await AttemptAsync($"{group.Name}, clean-up", async () => await group.DisposeAsync(), cancellationToken);
    }

    private async Task MeasureAsync(Benchmark benchmark, CancellationToken cancellationToken)
    {
        progress.WriteLine($"{benchmark.Name} ...");
        foreach (Measurement figure in await benchmark.Measure(settings, cancellationToken))
        {
            progress.WriteLine(FormattableString.Invariant($"  {figure.Name} = {figure.Value:0.0###} {figure.Unit}"));
            _figures.Add(figure);
        }
    }

    private async Task AttemptAsync(string name, Func<Task> action, CancellationToken cancellationToken)
    {
        try
        {
            await action();
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            progress.WriteLine($"  {name} failed: {e}");
            _failures.Add(new BenchmarkFailure(name, $"{e.GetType().Name}: {e.Message}"));
        }
    }
}

/// <summary>A benchmark that failed.</summary>
/// <param name="Name">The name of the benchmark, "group.subject".</param>
internal sealed record BenchmarkFailure(string Name, string Error);
