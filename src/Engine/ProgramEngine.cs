using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;

namespace Ndif.Engine;

/// <summary>Runs the programs of one or several jobs on a model, synchronously on the calling thread.</summary>
internal static class ProgramEngine
{
    /// <summary>Runs all jobs to the end. A failure is reported by its own job (<see cref="JobRun.Error"/>) and not thrown.</summary>
    public static void Run(HookedModel model, IReadOnlyList<JobRun> jobs)
    {
        using var scheduler = new ModelScheduler(model);
        foreach (JobRun job in jobs) scheduler.Add(job);
        while (scheduler.JobCount > 0) scheduler.Step();
    }
}
