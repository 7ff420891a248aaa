using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Protocol;

namespace Ndif.Engine.Interleaving;

/// <summary>Alternates between the region of the condition and that of the body, while the condition is true.</summary>
internal sealed class WhileLoop(WhileStatement loop) : Loop(loop)
{
    private bool _isConditionNext = true;
    private int _iterationCount;

    public override uint? NextRegion(JobRun job)
    {
        if (_isConditionNext)
        {
            _isConditionNext = false;
            return loop.ConditionRegion;
        }
        _isConditionNext = true;
        if (!Truthiness.Of(loop.Condition.Evaluate(job.Slots))) return null;
        if (++_iterationCount > loop.Limit)
            throw Errors.CreateException(ErrorCode.LimitExceeded,
                $"The condition of a loop still holds after {loop.Limit} turns, its limit.",
                "Raise the limit, or check the condition.");
        return loop.Region;
    }
}
