using Ndif.Engine.Interleaving;
using TorchSharp;

namespace Ndif.Engine.Gradients;

/// <summary>
/// Enables autograd during a pass if its trace requires gradients, and disables it otherwise. Such a trace has a pass to itself, because a
/// backward pass goes through all rows of a batch.
/// </summary>
internal sealed class GradModeScope : IDisposable
{
    private readonly IDisposable _gradMode;
    private readonly IDisposable? _parameters;

    public GradModeScope(IReadOnlyList<TraceRun> traces)
    {
        TraceRun? only = traces is [{ RequiresGrad: true } trace] ? trace : null;
        _gradMode = torch.set_grad_enabled(only is not null);
        _parameters =
            only?.Job.Plan.Model.RequireGrad([.. only.Job.Plan.ParametersRequiringGrad.Select(p => (p.Module, p.Name)).Distinct()]);
    }

    public void Dispose()
    {
        _parameters?.Dispose();
        _gradMode.Dispose();
    }
}
