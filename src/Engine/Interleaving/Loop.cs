using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>A loop that an interpreter is in: which region comes next, and what its variable is then.</summary>
internal abstract class Loop(Statement statement)
{
    /// <summary>The statement that is complete when the loop has ended.</summary>
    public Statement Statement { get; } = statement;

    /// <summary>The region of the next turn, its variable set; null at the end.</summary>
    public abstract uint? NextRegion(JobRun job);
}

/// <summary>A loop over calls of modules.</summary>
internal abstract class StepLoop(Statement statement) : Loop(statement)
{
    /// <summary>The call that this turn is about.</summary>
    public abstract int Step { get; }

    /// <summary>What was asked for, for a warning; null if whatever happens is right.</summary>
    public abstract string? RequestedSteps { get; }

    /// <summary>A module was accessed in this turn.</summary>
    public bool HasReachedModule { get; set; }
}

/// <summary>Unrolled by the client: each step has its own region.</summary>
internal sealed class UnrolledStepLoop(StepsStatement steps) : StepLoop(steps)
{
    private int _iteration = -1;

    public override int Step => steps.Steps[_iteration];

    public override string RequestedSteps => steps.Steps.Length == 1 ? $"step {steps.Steps[0]}" : $"steps {steps.Steps[0]} to {steps.Steps[^1]}";

    public override uint? NextRegion(JobRun job) => ++_iteration < steps.Regions.Length ? steps.Regions[_iteration] : null;
}

/// <summary>One region for every step of a range, which may have no end.</summary>
internal sealed class RangeStepLoop(EachStepStatement each) : StepLoop(each)
{
    private int _step = -1;

    public override int Step => _step;

    public override string? RequestedSteps => each.Stop is { } stop ? $"steps {each.Start} to {stop - 1}" : null;

    public override uint? NextRegion(JobRun job)
    {
        if (_step >= 0 && !HasReachedModule && each.Stop is null)
            throw Errors.CreateException(ErrorCode.BadArgument, "An iteration without an end accesses no module, so it would never end.", "Give the range an end, or access a module in it.");
        long step = _step < 0 ? each.Start : (long)_step + each.Stride;
        if (step >= (each.Stop ?? int.MaxValue)) return null;
        (_step, HasReachedModule) = ((int)step, false);
        if (each.Variable is { } variable) job.Slots.Set(variable, (long)_step);
        return each.Region;
    }
}

/// <summary>One turn for each item of a list, or of a tensor's first dimension.</summary>
internal sealed class ForEachLoop : Loop
{
    private readonly ForEachStatement _statement;
    private readonly object? _items;
    private readonly int _count;
    private int _iteration = -1;

    public ForEachLoop(ForEachStatement each, JobRun job) : base(each)
    {
        _statement = each;
        _items = each.Items.Evaluate(job.Slots);
        _count = _items switch
        {
            torch.Tensor { ndim: > 0 } tensor => (int)tensor.size(0),
            IReadOnlyList<object?> list => list.Count,
            _ => throw Errors.CreateException(ErrorCode.BadArgument, $"A loop runs over a list or a tensor's first dimension; not over {ValueFormatter.Format(_items)}."),
        };
    }

    public override uint? NextRegion(JobRun job)
    {
        if (++_iteration >= _count) return null;
        if (_statement.Variable is { } variable)
            job.Slots.Set(variable, TensorOwnership.TakeOwnership(_items is torch.Tensor tensor ? tensor.select(0, _iteration) : TensorOwnership.Alias(((IReadOnlyList<object?>)_items!)[_iteration])));
        return _statement.Region;
    }
}

/// <summary>While a condition holds: its region and the body take turns.</summary>
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
            throw Errors.CreateException(ErrorCode.LimitExceeded, $"The condition of a loop still holds after {loop.Limit} turns, its limit.", "Raise the limit, or check the condition.");
        return loop.Region;
    }
}

/// <summary>What counts as true: a number that is not 0, a tensor of one element that is not 0, a text or list that is not empty.</summary>
internal static class Truthiness
{
    public static bool Of(object? value) => value switch
    {
        null => false,
        bool flag => flag,
        long integer => integer != 0,
        double real => real != 0,
        string text => text.Length > 0,
        torch.Tensor tensor when tensor.numel() == 1 => IsTrue(tensor),
        torch.Tensor tensor => throw Errors.CreateException(ErrorCode.BadArgument,
            $"Boolean value of Tensor with {(tensor.numel() == 0 ? "no values" : "more than one value")} is ambiguous.", "Reduce it first: value.All(), value.Any()."),
        IReadOnlyList<object?> list => list.Count > 0,
        _ => true,
    };

    private static bool IsTrue(torch.Tensor tensor)
    {
        using torch.Tensor truth = tensor.to(torch.ScalarType.Bool);
        return truth.item<bool>();
    }
}
