using Ndif.Engine.Interleaving;
using TorchSharp;

namespace Ndif.Engine.Gradients;

/// <summary>
/// Autograd while a pass runs: a graph is built for a trace that asks for gradients, and for no other. Such a trace has its pass
/// for itself: a backward pass goes through all rows of a batch.
/// </summary>
internal sealed class GradModeScope : IDisposable
{
    private readonly IDisposable _gradMode;
    private readonly IDisposable? _parameters;

    public GradModeScope(IReadOnlyList<TraceRun> traces)
    {
        TraceRun? only = traces is [{ RequiresGrad: true } trace] ? trace : null;
        _gradMode = torch.set_grad_enabled(only is not null);
        _parameters = only?.Job.Plan.Model.RequireGrad([.. only.Job.Plan.ParametersRequiringGrad.Select(p => (p.Module, p.Name)).Distinct()]);
    }

    /// <summary>Which traces go through a pass together.</summary>
    public static IEnumerable<TraceRun[]> GroupIntoPasses(IReadOnlyList<TraceRun> traces, bool canBatch)
    {
        TraceRun[] together = [.. traces.Where(t => canBatch && !t.RequiresGrad && !t.Job.Plan.IsExclusive)];
        return traces.Except(together).Select(t => (TraceRun[])[t]).Prepend(together).Where(pass => pass.Length > 0);
    }

    public void Dispose()
    {
        _parameters?.Dispose();
        _gradMode.Dispose();
    }
}
