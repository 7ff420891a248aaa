using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>One iteration for each item of a list or of a tensor's first dimension.</summary>
internal sealed class ForEachLoop : Loop
{
    private readonly ForEachStatement _statement;
    private readonly object? _items;
    private readonly long _count;
    private long _iteration = -1;

    public ForEachLoop(ForEachStatement each, JobRun job) : base(each)
    {
        _statement = each;
        _items = each.Items.Evaluate(job.Slots);
        _count = _items switch
        {
            torch.Tensor { ndim: > 0 } tensor => tensor.shape[0],
            IReadOnlyList<object?> list => list.Count,
            _ => throw Errors.CreateException(ErrorCode.BadArgument,
                $"A loop runs over a list or a tensor's first dimension; not over {ValueFormatter.Format(_items)}."),
        };
    }

    public override uint? NextRegion(JobRun job)
    {
        if (++_iteration >= _count) return null;
        if (_statement.Variable is { } variable)
        {
            object? item = _items is torch.Tensor tensor ? tensor.select(0, _iteration)
                : ((IReadOnlyList<object?>)_items!)[(int)_iteration];
            job.Limits.RequireMemory("The item of the loop", ValueMemory.ItemBytesOf(item), 0);
            job.Slots.Set(variable, TensorOwnership.TakeOwnership(_items is torch.Tensor ? item : TensorOwnership.Alias(item)));
        }
        return _statement.Region;
    }
}
