using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>What an invoke sees of its rows at a point.</summary>
/// <param name="IsCopy">Edits of it do not reach the model's memory by themselves (<see cref="BatchSlice.HasInteriorPadding"/>).</param>
/// <param name="RequiresGrad">A gradient is asked of it, so the model has to go on with it.</param>
internal sealed record PendingWriteBack(BatchSlice Slice, SiteKind Kind, object? Value, bool IsCopy, bool RequiresGrad);

/// <summary>What happens at one point of a pass.</summary>
internal sealed class HookPointState
{
    /// <summary>What writes made here; the latest is the value, those before it can go.</summary>
    private readonly HashSet<torch.Tensor> _writtenTensors = TensorOwnership.NewTensorSet();

    /// <summary>The pass stands here now.</summary>
    public bool IsActive { get; private set; }

    public object? Value { get; private set; }

    public void Enter(object? value) => (IsActive, Value) = (true, value);

    /// <summary>What invokes see of rows of the value and that has to be put back: a gradient is asked of it, or it is a copy.</summary>
    public List<PendingWriteBack> PendingWriteBacks { get; } = [];

    public void Exit()
    {
        PendingWriteBacks.Clear();
        (IsActive, Value) = (false, null);
        _writtenTensors.Clear();
    }

    public void Replace(object? value)
    {
        HashSet<torch.Tensor> before = TensorOwnership.NewTensorSet(), now = TensorOwnership.NewTensorSet();
        CollectTensors(Value, before);
        CollectTensors(value, now);
        foreach (torch.Tensor old in before)
            if (!now.Contains(old) && _writtenTensors.Remove(old)) old.Dispose();
        now.ExceptWith(before);
        _writtenTensors.UnionWith(now);
        Value = value;
    }

    private static void CollectTensors(object? value, HashSet<torch.Tensor> into)
    {
        TensorOwnership.CollectTensors(value is ModelOutput output ? output.Entries : value, into);
        if (value is not Arguments arguments) return;
        TensorOwnership.CollectTensors(arguments.Positional, into);
        TensorOwnership.CollectTensors(arguments.Keywords, into);
    }

    /// <summary>Of a module's input: what the call that has just ended was given, while the pass stands at its output. It can be read.</summary>
    public Arguments? EndedCallArguments { get; set; }

    /// <summary>Of a module that the program defines: what was here at the last call, for the invoke that made it.</summary>
    public object? LastCallValue { get; private set; }

    public Interpreter? LastCaller { get; private set; }

    /// <param name="value">Fresh handles, owned from now on.</param>
    public void SetLastCall(object? value, Interpreter? caller)
    {
        TensorOwnership.DisposeTensors(LastCallValue is Arguments before ? before.Positional : LastCallValue);
        (LastCallValue, LastCaller) = (value, caller);
    }

    /// <summary>How often it was passed, by owner.</summary>
    public Dictionary<JobRun, int> CallCounts { get; } = [];

    public List<SkippedRows>? Skips { get; set; }

    public int CallCountOf(JobRun job) => CallCounts.GetValueOrDefault(job);
}
