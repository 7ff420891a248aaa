using System.Diagnostics;
using System.Runtime.InteropServices;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;

namespace Ndif.Engine.Scheduling;

/// <summary>What has the thread of a model: a pass, or the statements of a job between its traces. Others may run in the middle.</summary>
/// <param name="pass">The traces of a pass; none for statements.</param>
/// <param name="interrupted">The turn in whose middle it runs, or null.</param>
/// <param name="minSlice">It runs for at least this time before others run in its middle, and for as long as they have taken.</param>
internal sealed class Turn(IReadOnlyList<JobRun> jobs, IReadOnlyList<TraceRun> pass, Turn? interrupted, TimeSpan minSlice)
{
    private readonly Dictionary<JobRun, TimeSpan> _statements = [];
    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly Stopwatch _sinceResumed = Stopwatch.StartNew();
    private TimeSpan _others; // since it was interrupted last

    public IReadOnlyList<JobRun> Jobs => jobs;

    public Turn? Interrupted => interrupted;

    /// <summary>Whether it is a pass without gradients, and so is everything that it interrupts.</summary>
    public bool HasNoGraph { get; } = pass.Count > 0 && !pass.Any(trace => trace.RequiresGrad) && interrupted?.HasNoGraph != false;

    /// <summary>The tokens of the prompts of a pass, between whose modules prompts of at most half of them may run.</summary>
    public long? PromptTokens { get; init; }

    /// <summary>The time in which others ran.</summary>
    public TimeSpan Others { get; private set; }

    /// <summary>Its time without that of others.</summary>
    public TimeSpan Own => Stopwatch.GetElapsedTime(_start) - Others;

    /// <summary>Whether others may run now.</summary>
    public bool IsSliceOver => _sinceResumed.Elapsed >= (_others > minSlice ? _others : minSlice);

    /// <summary>Whether a job is part of it or of a turn that it interrupts.</summary>
    public bool Includes(JobRun job) => jobs.Contains(job) || interrupted?.Includes(job) == true;

    /// <summary>Adds a statement of a job. Returns the time of its statements.</summary>
    public TimeSpan AddStatement(JobRun job, TimeSpan time) =>
        CollectionsMarshal.GetValueRefOrAddDefault(_statements, job, out _) += time;

    /// <summary>Others have run.</summary>
    public void Resume(TimeSpan others)
    {
        Others += others;
        _others = others;
        _sinceResumed.Restart();
    }
}
