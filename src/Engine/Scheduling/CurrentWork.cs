using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;

namespace Ndif.Engine.Scheduling;

/// <summary>
/// What the thread of a model does now, for a watchdog on another thread: a statement of a job, or a module in a pass of several jobs. A
/// native call shows as work that does not change. Written by the thread that runs a turn, of which there is one at a time.
/// </summary>
/// <remarks>
/// The writes are plain, because a statement may take less than a microsecond. A reader that finds the same <see cref="Version"/> before
/// and after it has read the other fields has a consistent view.
/// </remarks>
internal sealed class CurrentWork
{
    private const int NoModule = -1;

    private IReadOnlyList<TraceRun> _pass = [];
    private JobRun? _job;
    private uint _node;
    private int _module = NoModule;
    private long _version;

    /// <summary>Changes whenever the thread makes progress.</summary>
    public long Version => Volatile.Read(ref _version);

    /// <summary>The jobs that the thread works for; none if it is idle.</summary>
    public IReadOnlyList<JobRun> Jobs => _job is { } job ? [job] : [.. _pass.Select(trace => trace.Job).Distinct()];

    /// <summary>A statement of a job begins, or a backward pass of it comes to a value.</summary>
    public void BeginStatement(JobRun job, uint node)
    {
        (_job, _node) = (job, node);
        Volatile.Write(ref _version, _version + 1);
    }

    /// <summary>The same work goes on.</summary>
    public void MakeProgress() => Volatile.Write(ref _version, _version + 1);

    /// <summary>A pass begins. Dispose the result when it ends: the work in whose middle it ran goes on.</summary>
    public Scope BeginPass(IReadOnlyList<TraceRun> traces)
    {
        var scope = new Scope(this, _pass, _job, _node, _module);
        Set(traces, null, 0, NoModule);
        return scope;
    }

    /// <summary>The pass is at a module.</summary>
    public void BeginModule(int module) => Set(_pass, null, 0, module);

    /// <summary>The statements at a module have run, and the pass goes on.</summary>
    public void ResumePass() => Set(_pass, null, 0, _module);

    /// <summary>Nothing runs.</summary>
    public void End() => Set([], null, 0, NoModule);

    /// <summary>
    /// The operation or the module that is running, with its node in the program of the job; null if the thread has made progress since
    /// the version.
    /// </summary>
    public (string What, uint? Node)? Describe(long version)
    {
        var (pass, job, node, module) = (_pass, _job, _node, _module);
        if (Version != version) return null;
        if (job is not null) return (job.Plan.DescribeStatement(node), node);
        return pass is not [var first, ..] || module < 0 ? ("the model's forward pass", null)
            : ($"the model's forward pass at `{NameOf(first.Job.Plan.Model.Paths[module])}`", null);
    }

    private static string NameOf(string path) => path.Length == 0 ? "model" : path;

    private void Set(IReadOnlyList<TraceRun> pass, JobRun? job, uint node, int module)
    {
        (_pass, _job, _node, _module) = (pass, job, node, module);
        Volatile.Write(ref _version, _version + 1);
    }

    /// <summary>A pass, and the work that it interrupts.</summary>
    public readonly struct Scope(CurrentWork work, IReadOnlyList<TraceRun> pass, JobRun? job, uint node, int module) : IDisposable
    {
        public void Dispose() => work.Set(pass, job, node, module);
    }
}
