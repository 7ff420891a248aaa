using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Scheduling;
using Ndif.Engine;
using System.Diagnostics;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>The scheduler of the engine: a job joins between two steps and is complete when it has ended itself.</summary>
internal sealed class ContinuousBatchingServer(HookedModel model, Plan[] plans, double[] arrivals) : IServer, IDisposable
{
    private readonly ModelScheduler _scheduler = new(model);
    private readonly List<(TimedJob Job, double Arrival)> _running = [];
    private readonly List<double> _latencies = [];
    private int _next;

    public double Clock { get; private set; }

    public bool IsDone => _latencies.Count == plans.Length;

    public IReadOnlyList<double> Latencies => _latencies;

    public void Advance()
    {
        if (_running.Count == 0) Clock = Math.Max(Clock, arrivals[_next]);
        for (; _next < plans.Length && arrivals[_next] <= Clock; _next++)
        {
            var job = new TimedJob(plans[_next]);
            job.AddTo(_scheduler);
            _running.Add((job, arrivals[_next]));
        }
        long from = Stopwatch.GetTimestamp();
        _scheduler.Step();
        foreach (var (job, arrival) in _running.Where(running => running.Job.End is not null))
        {
            _latencies.Add(Clock + Stopwatch.GetElapsedTime(from, job.End!.Value.Timestamp).TotalSeconds - arrival);
            job.Dispose();
        }
        _running.RemoveAll(running => running.Job.End is not null);
        Clock += Stopwatch.GetElapsedTime(from).TotalSeconds;
    }

    public void Dispose() => _scheduler.Dispose();
}
