using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Scheduling;
using Ndif.Engine;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>Jobs of other users that run without an end: when one has ended, it begins again.</summary>
internal sealed class BackgroundLoad(HookedModel model, params IEnumerable<Plan> plans) : IDisposable
{
    private readonly (Plan Plan, TimedJob? Job)[] _jobs = [.. plans.Select(plan => (plan, (TimedJob?)null))];

    /// <summary>The scheduler that newcomers join.</summary>
    public ModelScheduler Scheduler { get; } = new(model);

    /// <summary>Runs a step of all jobs.</summary>
    public void Step()
    {
        for (int i = 0; i < _jobs.Length; i++)
        {
            if (_jobs[i].Job is { End: null }) continue;
            _jobs[i].Job?.Dispose();
            _jobs[i].Job = new TimedJob(_jobs[i].Plan);
            _jobs[i].Job!.AddTo(Scheduler);
        }
        Scheduler.Step();
    }

    public void Dispose()
    {
        Scheduler.Dispose();
        foreach (var (_, job) in _jobs) job?.Dispose();
    }
}
