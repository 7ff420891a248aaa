using Ndif.Engine.Compiling;
using Ndif.Engine.Kernels;
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
    public abstract uint? Next(JobRun job);
}

/// <summary>A loop over calls of modules.</summary>
internal abstract class CallLoop(Statement statement) : Loop(statement)
{
    /// <summary>The call that this turn is about.</summary>
    public abstract int Step { get; }

    /// <summary>What was asked for, for a warning; null if whatever happens is right.</summary>
    public abstract string? Asked { get; }

    /// <summary>A module was accessed in this turn.</summary>
    public bool Reached { get; set; }
}

/// <summary>Unrolled by the client: each step has its own region.</summary>
internal sealed class UnrolledSteps(StepsStatement steps) : CallLoop(steps)
{
    private int _turn = -1;

    public override int Step => steps.Steps[_turn];

    public override string Asked => steps.Steps.Length == 1 ? $"step {steps.Steps[0]}" : $"steps {steps.Steps[0]} to {steps.Steps[^1]}";

    public override uint? Next(JobRun job) => ++_turn < steps.Regions.Length ? steps.Regions[_turn] : null;
}

/// <summary>One region for every step of a range, which may have no end.</summary>
internal sealed class EachStep(EachStepStatement each) : CallLoop(each)
{
    private int _step = -1;

    public override int Step => _step;

    public override string? Asked => each.Stop is { } stop ? $"steps {each.Start} to {stop - 1}" : null;

    public override uint? Next(JobRun job)
    {
        if (_step >= 0 && !Reached && each.Stop is null)
            throw Errors.Throwable(ErrorCode.BadArgument, "An iteration without an end accesses no module, so it would never end.", "Give the range an end, or access a module in it.");
        long step = _step < 0 ? each.Start : (long)_step + each.Stride;
        if (step >= (each.Stop ?? int.MaxValue)) return null;
        (_step, Reached) = ((int)step, false);
        if (each.Variable is { } variable) job.Slots.Set(variable, (long)_step);
        return each.Region;
    }
}

/// <summary>One turn for each item of a list, or of a tensor's first dimension.</summary>
internal sealed class ItemLoop : Loop
{
    private readonly ForEachStatement _each;
    private readonly object? _items;
    private readonly int _count;
    private int _turn = -1;

    public ItemLoop(ForEachStatement each, JobRun job) : base(each)
    {
        _each = each;
        _items = each.Items.Evaluate(job.Slots);
        _count = _items switch
        {
            torch.Tensor { ndim: > 0 } tensor => (int)tensor.size(0),
            IReadOnlyList<object?> list => list.Count,
            _ => throw Errors.Throwable(ErrorCode.BadArgument, $"A loop runs over a list or a tensor's first dimension; not over {ValueText.Of(_items)}."),
        };
    }

    public override uint? Next(JobRun job)
    {
        if (++_turn >= _count) return null;
        if (_each.Variable is { } variable)
            job.Slots.Set(variable, Ownership.Take(_items is torch.Tensor tensor ? tensor.select(0, _turn) : Ownership.Second(((IReadOnlyList<object?>)_items!)[_turn])));
        return _each.Region;
    }
}

/// <summary>While a condition holds: its region and the body take turns.</summary>
internal sealed class WhileLoop(WhileStatement loop) : Loop(loop)
{
    private bool _decided = true;
    private int _turns;

    public override uint? Next(JobRun job)
    {
        if (_decided)
        {
            _decided = false;
            return loop.ConditionRegion;
        }
        _decided = true;
        if (!Truth.Of(loop.Condition.Evaluate(job.Slots))) return null;
        if (++_turns > loop.Limit)
            throw Errors.Throwable(ErrorCode.LimitExceeded, $"The condition of a loop still holds after {loop.Limit} turns, its limit.", "Raise the limit, or check the condition.");
        return loop.Region;
    }
}

/// <summary>What counts as true: a number that is not 0, a tensor of one element that is not 0, a text or list that is not empty.</summary>
internal static class Truth
{
    public static bool Of(object? value) => value switch
    {
        null => false,
        bool flag => flag,
        long integer => integer != 0,
        double real => real != 0,
        string text => text.Length > 0,
        torch.Tensor tensor when tensor.numel() == 1 => IsTrue(tensor),
        torch.Tensor tensor => throw Errors.Throwable(ErrorCode.BadArgument,
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
