using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Protocol;

namespace Ndif.Engine.Interleaving;

/// <summary>One region for every step of a range, which may be unbounded.</summary>
internal sealed class RangeStepLoop(EachStepStatement each) : StepLoop(each)
{
    private int _step = -1;

    public override int Step => _step;

    public override string? RequestedSteps => each.Stop is { } stop ? $"steps {each.Start} to {stop - 1}" : null;

    public override (uint Region, int Step)? Next =>
        (long)_step + each.Stride < (each.Stop ?? int.MaxValue) ? (each.Region, _step + each.Stride) : null;

    public override uint? NextRegion(JobRun job)
    {
        if (_step >= 0 && !HasReachedModule && each.Stop is null)
            throw Errors.CreateException(ErrorCode.BadArgument, "An iteration without an end accesses no module, so it would never end.",
                "Give the range an end, or access a module in it.");
        long step = _step < 0 ? each.Start : (long)_step + each.Stride;
        if (step >= (each.Stop ?? int.MaxValue)) return null;
        (_step, HasReachedModule) = ((int)step, false);
        if (each.Variable is { } variable) job.Slots.Set(variable, (long)_step);
        return each.Region;
    }
}
