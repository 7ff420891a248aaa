using Ndif.Engine.Compiling;
using Ndif.Engine.Running;

namespace Ndif.Engine.Interleaving;

/// <summary>One trace of one job, while it takes part in a pass.</summary>
internal sealed class TraceRun(JobRun job, TraceStatement statement) : IDisposable
{
    private readonly Dictionary<int, Interpreter> _byRegion = [];

    public JobRun Job { get; } = job;

    /// <summary>True if it asks for gradients: its pass builds a graph.</summary>
    public bool RequiresGrad => Statement.Trace.Gradients;

    public TraceStatement Statement { get; } = statement;

    /// <summary>Its invokes in the order of their definition, and last the statements outside of any.</summary>
    public List<Interpreter> Invokes { get; } = [];

    /// <summary>True if its model work is over: the pass, if it goes on, goes on without it.</summary>
    public bool HasEnded { get; set; }

    /// <summary>True while its new tokens are told to its user, so that its passes are wanted even if no invoke waits for them.</summary>
    public bool IsStreaming => Statement.Trace.Generation is { Stream: true } && !HasEnded && !Job.HasFailed && !Invokes.Any(i => i.HasStopped);

    /// <summary>What the traced method returned, as an invoke sees it, in the current dispose scope; asked for after the end.</summary>
    public Func<Interpreter, object?>? Result { get; set; }

    /// <summary>The calls of modules that the program defines.</summary>
    public DefinedModuleSites DefinedModules { get; } = new();

    public void Dispose() => DefinedModules.Dispose();

    public void Add(Interpreter invoke)
    {
        Invokes.Add(invoke);
        _byRegion.Add((int)invoke.Region, invoke);
        invoke.EnclosingTrace = this;
    }

    /// <summary>True if another invoke may yet compute this node.</summary>
    public bool CanStillCompute(Interpreter requester, uint node) =>
        _byRegion.TryGetValue(Job.Plan.OwnerRegions[node], out Interpreter? invoke) && invoke != requester && !invoke.IsDone;
}
