using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>The state of one hook point in a pass.</summary>
internal sealed class HookPointState
{
    /// <summary>The tensors that writes have created here. Only those of the current value are kept.</summary>
    private HashSet<torch.Tensor>? _writtenTensors;

    /// <summary>The slices that have been read from <see cref="Value"/>, whose views may be edited.</summary>
    private readonly HashSet<BatchSlice> _views = [];

    private WrittenRows? _writtenRows;

    /// <summary>The value of the model, before any write.</summary>
    private object? _original;

    /// <summary>Whether the pass is suspended at this hook point.</summary>
    public bool IsActive { get; private set; }

    /// <summary>The value of the hook point while it is active.</summary>
    public object? Value { get; private set; }

    public void Enter(object? value) => (IsActive, Value, _original) = (true, value, value);

    /// <summary>The slices that have to be written back when the invokes have run.</summary>
    public PendingWriteBacks PendingWriteBacks { get; } = new();

    public void Exit()
    {
        PendingWriteBacks.Clear();
        _views.Clear();
        _writtenRows = null;
        (IsActive, Value, _original) = (false, null, null);
        _writtenTensors = null;
    }

    /// <summary>The value from which a slice is read, which has the writes of its rows so far.</summary>
    public object? SourceOf(BatchSlice slice, HookPoint point, SiteValues sites)
    {
        object? source = _writtenRows is null ? Value : _writtenRows.SourceOf(slice);
        if (source is null)
        {
            ApplyWrites(point, sites);
            source = Value;
        }
        if (!slice.CoversBatch && ReferenceEquals(source, Value)) _views.Add(slice with { });
        return source;
    }

    /// <summary>Replaces a slice of the value. The other rows are not copied again for each write.</summary>
    /// <param name="write">Returns a value with the slice replaced, given the copies that may be written in place.</param>
    public void Write(BatchSlice slice, HookPoint point, SiteValues sites, Func<object?, HashSet<torch.Tensor>, object?> write)
    {
        if (_writtenRows?.CanWrite(slice) == false) ApplyWrites(point, sites);
        (_writtenRows ??= new WrittenRows(Value)).Write(slice, write);
    }

    /// <summary>Makes the writes so far part of the value.</summary>
    public void ApplyWrites(HookPoint point, SiteValues sites)
    {
        if (_writtenRows is not { } written) return;
        _writtenRows = null;
        Replace(written.Complete(_views, (slice, from, to) => sites.Copy(slice, point, from, to)));
        _views.Clear();
    }

    /// <summary>
    /// Takes back what a trace of a shared pass has written, after <see cref="ApplyWrites"/>. Edits in place stay: nothing has those rows
    /// as they were.
    /// </summary>
    public void TakeBack(TraceRun trace, HookPoint point, SiteValues sites)
    {
        foreach (Interpreter invoke in trace.Invokes)
        {
            if (invoke.Slice is not { Count: > 0, CoversBatch: false } slice) continue;
            foreach (PendingWriteBack pending in PendingWriteBacks.Overlapping(slice)) pending.IsRemoved = true;
            sites.Copy(slice, point, _original, Value);
        }
    }

    /// <summary>Replaces the value, and disposes the tensors of earlier replacements that are not part of it.</summary>
    public void Replace(object? value)
    {
        HashSet<torch.Tensor> oldTensors = TensorOwnership.NewTensorSet(), newTensors = TensorOwnership.NewTensorSet();
        TensorOwnership.CollectTensors(Value, oldTensors);
        TensorOwnership.CollectTensors(value, newTensors);
        foreach (torch.Tensor tensor in oldTensors)
            if (!newTensors.Contains(tensor) && _writtenTensors?.Remove(tensor) == true) tensor.Dispose();
        newTensors.ExceptWith(oldTensors);
        if (_writtenTensors is null) _writtenTensors = newTensors;
        else _writtenTensors.UnionWith(newTensors);
        Value = value;
    }

    /// <summary>At a module's input: the arguments of the call whose output the pass is at. They can be read and not edited.</summary>
    public Arguments? EndedCallArguments { get; set; }

    /// <summary>At a hook point of a module that the program defines: the value at the last call, for the invoke that made it.</summary>
    public object? LastCallValue { get; private set; }

    public Interpreter? LastCaller { get; private set; }

    /// <param name="value">New handles, owned by this object.</param>
    public void SetLastCall(object? value, Interpreter? caller)
    {
        TensorOwnership.DisposeTensors(LastCallValue is Arguments arguments ? arguments.Positional : LastCallValue);
        (LastCallValue, LastCaller) = (value, caller);
    }

    /// <summary>The number of calls of a module that the program defines.</summary>
    public int DefinedCallCount { get; set; }

    /// <summary>The rows that skip the current call by their invokes, or null.</summary>
    public OrderedDictionary<Interpreter, SkippedRows>? Skips { get; set; }
}
