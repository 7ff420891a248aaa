using System.Diagnostics;
using System.Runtime.InteropServices;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;

namespace Ndif.Engine.Scheduling;

/// <summary>What has the thread of a model: a pass, or the statements of a job between its traces. Others may run in the middle.</summary>
/// <param name="pass">The traces of a pass; none for statements.</param>
/// <param name="interrupted">The turn in whose middle it begins, or null.</param>
/// <param name="minSlice">It runs for at least this time before others run in its middle, and for as long as they have taken.</param>
internal sealed class Turn(IReadOnlyList<JobRun> jobs, IReadOnlyList<TraceRun> pass, Turn? interrupted, TimeSpan minSlice)
{
    private readonly Dictionary<JobRun, TimeSpan> _statements = [];
    private readonly List<JobRun> _preempted = [];
    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly Stopwatch _sinceResumed = Stopwatch.StartNew();
    private TimeSpan _others; // since it was interrupted last
    private TimeSpan _ownBeforeSuspension;

    public IReadOnlyList<JobRun> Jobs => jobs;

    /// <summary>The turn in whose middle it runs, or null. It may be resumed in the middle of another one than it has begun in.</summary>
    public Turn? Interrupted { get; set; } = interrupted;

    /// <summary>The number of turns that it interrupts, each in the middle of the next.</summary>
    public int Depth => Interrupted is null ? 0 : Interrupted.Depth + 1;

    /// <summary>Whether it is a pass, and not statements between two.</summary>
    public bool IsPass { get; } = pass.Count > 0;

    /// <summary>Whether it is a pass with gradients.</summary>
    public bool HasGraph { get; } = pass.Any(trace => trace.RequiresGrad);

    /// <summary>The tokens of the prompts of a pass, between whose modules prompts of at most half of them may run.</summary>
    public long? PromptTokens { get; init; }

    /// <summary>The time in which others ran.</summary>
    public TimeSpan Others { get; private set; }

    /// <summary>Its time without that of others.</summary>
    public TimeSpan Own => Stopwatch.GetElapsedTime(_start) - Others;

    /// <summary>Its time without that of others since it was suspended last.</summary>
    public TimeSpan OwnSinceSuspended => Own - _ownBeforeSuspension;

    /// <summary>The time of its current slice.</summary>
    public TimeSpan SinceResumed => _sinceResumed.Elapsed;

    /// <summary>Whether others may run now.</summary>
    public bool IsSliceOver => SinceResumed >= (_others > minSlice ? _others : minSlice);

    /// <summary>Whether a job is part of it or of a turn that it interrupts.</summary>
    public bool Includes(JobRun job) => jobs.Contains(job) || Interrupted?.Includes(job) == true;

    /// <summary>Whether a job of this owner is part of it or of a turn that it interrupts.</summary>
    public bool HasOwner(string owner) => jobs.Any(job => job.Owner == owner) || Interrupted?.HasOwner(owner) == true;

    /// <summary>Whether a job of another owner is part of it or of a turn that it interrupts.</summary>
    public bool HasOtherOwners(string owner) => jobs.Any(job => job.Owner != owner) || Interrupted?.HasOtherOwners(owner) == true;

    /// <summary>Whether others wait for what a job does: those that share the pass, or those in whose middle it runs.</summary>
    public bool KeepsOthersWaiting => jobs.Count > 1 || Interrupted is not null;

    /// <summary>Adds a statement of a job.</summary>
    public void AddStatement(JobRun job, TimeSpan time) => CollectionsMarshal.GetValueRefOrAddDefault(_statements, job, out _) += time;

    /// <summary>Notes that a job leaves the turn because of its statements.</summary>
    public void OnPreempted(JobRun job) => _preempted.Add(job);

    /// <summary>
    /// The time of the statements of a job beyond that of the rest; a backward pass, which is a statement, takes more. If other owners
    /// wait, the statements of all its owner's jobs count; else those of its owner's jobs that have left the turn, if its own are more than
    /// the rest. What jobs that have left have taken is not of the rest: each of several loops would run twice as long as the one before.
    /// </summary>
    /// <param name="next">The time of a statement of the job that has not run yet.</param>
    public TimeSpan ExcessOf(JobRun job, TimeSpan next = default)
    {
        bool isByOwner = HasOtherOwners(job.Owner);
        (TimeSpan statements, TimeSpan rest) = (next, Own);
        foreach ((JobRun other, TimeSpan time) in _statements)
        {
            bool hasLeft = _preempted.Contains(other);
            bool counts = other == job || (other.Owner == job.Owner && (isByOwner || hasLeft));
            if (counts) statements += time;
            if (counts || hasLeft) rest -= time;
        }
        if (!isByOwner && ExcessOf(_statements.GetValueOrDefault(job) + next, rest) == TimeSpan.Zero) return TimeSpan.Zero;
        return ExcessOf(statements, rest);
    }

    private TimeSpan ExcessOf(TimeSpan statements, TimeSpan rest)
    {
        const int GradientPasses = 3; // forward, and backward through values and weights
        TimeSpan excess = statements - (HasGraph ? GradientPasses * rest : rest);
        return excess > TimeSpan.Zero ? excess : TimeSpan.Zero;
    }

    /// <summary>Others have run.</summary>
    public void Resume(TimeSpan others)
    {
        Others += others;
        _others = others;
        _sinceResumed.Restart();
    }

    /// <summary>It was suspended.</summary>
    public void ResumeSuspended(TimeSpan others)
    {
        Resume(others);
        (_others, _ownBeforeSuspension) = (TimeSpan.Zero, Own);
    }
}
