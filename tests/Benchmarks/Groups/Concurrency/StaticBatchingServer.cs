using System.Diagnostics;
using Ndif.Engine;
using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>
/// Takes the jobs that wait, at most eight, and runs them to their end before it looks at the queue again; a job is complete when its batch
/// has ended. So did the worker before it had a scheduler.
/// </summary>
internal sealed class StaticBatchingServer(HookedModel model, Plan[] plans, double[] arrivals) : IServer
{
    public const int MaxBatch = 8;

    private readonly List<double> _latencies = [];
    private int _next;

    public double Clock { get; private set; }

    public bool IsDone => _next == plans.Length;

    public IReadOnlyList<double> Latencies => _latencies;

    public void Advance()
    {
        Clock = Math.Max(Clock, arrivals[_next]);
        int first = _next;
        while (!IsDone && _next - first < MaxBatch && arrivals[_next] <= Clock) _next++;
        TimedJob[] jobs = [.. plans[first.._next].Select(plan => new TimedJob(plan))];
        long from = Stopwatch.GetTimestamp();
        ProgramEngine.Run(model, [.. jobs.Select(job => job.Run)]);
        Clock += Stopwatch.GetElapsedTime(from).TotalSeconds;
        foreach (TimedJob job in jobs)
        {
            if (job.Run.Error is { } error) throw new InvalidOperationException(error.Message);
            job.Dispose();
        }
        _latencies.AddRange(arrivals[first.._next].Select(arrival => Clock - arrival));
    }
}
