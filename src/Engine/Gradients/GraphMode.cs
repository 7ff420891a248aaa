using Ndif.Engine.Interleaving;
using TorchSharp;

namespace Ndif.Engine.Gradients;

/// <summary>
/// Autograd while a pass runs: a graph is built for a trace that asks for gradients, and for no other. Such a trace has its pass
/// for itself: a backward pass goes through all rows of a batch.
/// </summary>
internal sealed class GraphMode : IDisposable
{
    private readonly IDisposable _mode;
    private readonly IDisposable? _parameters;

    public GraphMode(IReadOnlyList<TraceRun> traces)
    {
        TraceRun? only = traces is [{ WantsGraph: true } trace] ? trace : null;
        _mode = torch.set_grad_enabled(only is not null);
        _parameters = only?.Job.Plan.Subject.Follow([.. only.Job.Plan.FollowedParameters.Select(p => (p.Module, p.Name)).Distinct()]);
    }

    /// <summary>Which traces go through a pass together.</summary>
    public static IEnumerable<TraceRun[]> Passes(IReadOnlyList<TraceRun> traces, bool canBatch)
    {
        TraceRun[] together = [.. traces.Where(t => canBatch && !t.WantsGraph && !t.Job.Plan.RunsAlone)];
        return traces.Except(together).Select(t => (TraceRun[])[t]).Prepend(together).Where(pass => pass.Length > 0);
    }

    public void Dispose()
    {
        _parameters?.Dispose();
        _mode.Dispose();
    }
}
