using Ndif.Engine.Compiling;
using Ndif.Engine.Running;

namespace Ndif.Engine.Interleaving;

/// <summary>An iteration that the client has unrolled: each step has its own region.</summary>
internal sealed class UnrolledStepLoop(StepsStatement steps) : StepLoop(steps)
{
    private int _iteration = -1;

    public override int Step => steps.Steps[_iteration];

    public override string RequestedSteps => steps.Steps.Length == 1 ? $"step {steps.Steps[0]}"
        : $"steps {steps.Steps[0]} to {steps.Steps[^1]}";

    public override (uint Region, int Step)? Next =>
        _iteration + 1 < steps.Regions.Length ? (steps.Regions[_iteration + 1], steps.Steps[_iteration + 1]) : null;

    public override uint? NextRegion(JobRun job) => ++_iteration < steps.Regions.Length ? steps.Regions[_iteration] : null;
}
