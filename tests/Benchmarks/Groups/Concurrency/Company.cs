using Ndif.Engine;
using Ndif.Engine.Compiling;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>Jobs of other users that run without an end: when one has ended, it begins again.</summary>
internal sealed class Company : IDisposable
{
    private readonly ModelScheduler _scheduler;
    private readonly (Plan Plan, TimedJob? Job)[] _jobs;

    public Company(ModelScheduler scheduler, params IEnumerable<Plan> plans)
    {
        _scheduler = scheduler;
        _jobs = [.. plans.Select(plan => (plan, (TimedJob?)null))];
    }

    /// <summary>Runs a step of all jobs.</summary>
    public void Step()
    {
        for (int i = 0; i < _jobs.Length; i++)
        {
            if (_jobs[i].Job is { End: null }) continue;
            _jobs[i].Job?.Dispose();
            _jobs[i].Job = new TimedJob(_jobs[i].Plan);
            _jobs[i].Job!.AddTo(_scheduler);
        }
        _scheduler.Step();
    }

    public void Dispose()
    {
        foreach (var (_, job) in _jobs) job?.Dispose();
    }
}
