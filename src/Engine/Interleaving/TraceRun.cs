using Ndif.Engine.Compiling;
using Ndif.Engine.Running;

namespace Ndif.Engine.Interleaving;

/// <summary>One trace of one job during a pass.</summary>
internal sealed class TraceRun : IDisposable
{
    private readonly Dictionary<int, Interpreter> _byRegion = [];

    public TraceRun(JobRun job, TraceStatement statement) => (Job, Statement, DefinedModules) = (job, statement, new(this));

    public JobRun Job { get; }

    /// <summary>Whether the trace requires gradients, so that its pass builds an autograd graph.</summary>
    public bool RequiresGrad => Statement.Trace.Gradients;

    public TraceStatement Statement { get; }

    /// <summary>The invokes in the order of their definition; the last one has the statements outside of any invoke.</summary>
    public List<Interpreter> Invokes { get; } = [];

    /// <summary>The rows of the trace in the batch of the pass.</summary>
    public long RowCount { get; set; }

    /// <summary>Whether the part of the trace in the pass has ended. The pass may continue for other traces.</summary>
    public bool HasEnded { get; set; }

    /// <summary>Whether an invoke has changed values from which the model computes the keys and values of some of these rows.</summary>
    public bool HasEditedCache(IReadOnlyCollection<int> rows) =>
        Invokes.Any(invoke => invoke.HasEditedCache && (invoke.Slice is not { } slice || slice.Rows.Any(row => rows.Contains((int)row))));

    /// <summary>Whether new tokens are streamed to the user, so that passes are needed even if no invoke waits for them.</summary>
    public bool IsStreaming => Statement.Trace.Generation is { Stream: true } && !HasEnded && !Job.HasFailed
        && !Invokes.Any(i => i.HasStopped);

    /// <summary>Returns the result of the traced method for an invoke, in the current dispose scope. Called after the end.</summary>
    public Func<Interpreter, object?>? Result { get; set; }

    /// <summary>The state of each invoke whose pass starts in the middle of the model.</summary>
    public OrderedDictionary<Interpreter, StartAtState> StartAtStates { get; } = [];

    /// <summary>The caches that have been started, which collect the values of their modules.</summary>
    public List<ActivationCollector> Caches { get; } = [];

    /// <summary>The arrivals at the barriers of the trace.</summary>
    public Dictionary<uint, BarrierArrivals> Barriers { get; } = [];

    /// <summary>The number of times that the model has reached each hook point in this trace.</summary>
    public Dictionary<HookPoint, int> CallCounts { get; } = [];

    /// <summary>The hook points of modules that the program defines.</summary>
    public DefinedModuleSites DefinedModules { get; }

    public void Dispose() => DefinedModules.Dispose();

    public void Add(Interpreter invoke)
    {
        Invokes.Add(invoke);
        _byRegion.Add((int)invoke.Region, invoke);
        invoke.EnclosingTrace = this;
    }

    /// <summary>Whether another invoke may still compute this node.</summary>
    public bool CanStillCompute(Interpreter requester, uint node) =>
        _byRegion.TryGetValue(Job.Plan.OwnerRegions[node], out Interpreter? invoke) && invoke != requester && !invoke.IsDone;
}
