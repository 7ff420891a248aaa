using System.Diagnostics;
using Ndif.Engine.Running;

namespace Ndif.Engine.Scheduling;

/// <summary>
/// The turns of jobs with local calls. Such a job cannot start again, because it would call its client again. It has a thread
/// (<see cref="JobThread"/>), and its turn is suspended while it waits, or others have to run: the thread of the model does not wait for
/// it, and it does not wait for turns that have begun later.
/// </summary>
internal sealed partial class ModelScheduler
{
    private static readonly TimeSpan _poll = TimeSpan.FromMilliseconds(1);

    /// <summary>
    /// The jobs of an owner that have threads at a time; more wait for one. Each thread has threads of arithmetic (OpenMP) of its own, one
    /// for each core, and libtorch ends the process if the system grants no more.
    /// </summary>
    private const int MaxThreadsOfOwner = 8;

    /// <summary>Whether a job has a thread, needs none, or may have one.</summary>
    private bool CanHaveThread(ScheduledJob job) => job.Thread is not { IsStarted: false } || job.Run.IsStopped
        || _jobs.Count(other => other.Run.Owner == job.Run.Owner && other.Thread is { IsStarted: true }) < MaxThreadsOfOwner;

    /// <summary>Runs a turn of a job. It may be suspended.</summary>
    private void RunTurn(ScheduledJob? job, Action turn)
    {
        if (job is { Thread: { } thread } && (thread.IsStarted || !job.Run.IsStopped))
            using (Work.BeginPass([])) thread.Run(turn);
        else turn();
    }

    /// <summary>Suspends the current turn, which is one of this job, until a task has completed and the turn is resumed.</summary>
    private void Suspend(ScheduledJob job, Task awaited)
    {
        (Turn turn, long start) = (_turn!, Stopwatch.GetTimestamp());
        BeginCooldowns(turn.Jobs, [1], turn.SinceResumed);
        (_turn, turn.Interrupted, job.Suspended) = (turn.Interrupted, null, turn);
        using (Work.BeginPass([]))
        using (model.SuspendGrad()) job.Thread!.Suspend(awaited);
        turn.ResumeSuspended(Stopwatch.GetElapsedTime(start));
        _lastStatement = Stopwatch.GetTimestamp();
    }

    /// <summary>Suspends the current turn of a job, so that others have turns of their own.</summary>
    private void Yield(ScheduledJob job)
    {
        int sharers = job.Run.ExecutionTimer?.Suspend() ?? 0;
        Suspend(job, Task.CompletedTask);
        if (sharers > 0) job.Run.ExecutionTimer!.Start(sharers);
    }

    /// <summary>Lets a suspended turn go on, in the middle of the current one if there is one.</summary>
    private void Resume(ScheduledJob job)
    {
        Turn turn = job.Suspended!;
        (job.Suspended, turn.Interrupted) = (null, _turn);
        BeginTurn(turn);
        using (Work.BeginPass([])) job.Thread!.Resume();
    }

    /// <summary>While only suspended turns are left: waits for what they wait for, and returns soon, because other jobs may come.</summary>
    private void WaitForSuspended()
    {
        Task[] awaited = [.. _jobs.Where(job => job.Suspended is not null).Select(job => job.Thread!.Awaited!)];
        if (awaited.Length > 0) Task.WaitAny(awaited, _poll);
    }
}
