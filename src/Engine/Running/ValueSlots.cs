using Ndif.Engine.Compiling;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>The values of one run by node. A value is set once (in a loop once per iteration) and freed after its last use.</summary>
/// <param name="maxBytes">The bytes that the values may have at a time (<see cref="HeldStorages"/>).</param>
/// <param name="shared">The memory of all jobs; null if it is not limited.</param>
internal sealed class ValueSlots(
    Plan plan, Func<uint, TensorData> loadConstant, long maxBytes = long.MaxValue, SharedJobMemory? shared = null) : IDisposable
{
    private static readonly object _empty = new();

    private readonly object?[] _values = NewValues(plan.Statements.Length);
    private readonly long[] _bytes = new long[maxBytes == long.MaxValue ? 0 : plan.Statements.Length];
    private readonly HeldStorages _storages = new();
    private readonly AutogradMemory? _autograd = plan.Autograd.IsUsed && maxBytes != long.MaxValue ? new AutogradMemory() : null;
    private readonly Queue<(torch.Tensor Tensor, Task Until)> _kept = new();
    private long _itemBytes, _sharedBytes;
    private readonly Dictionary<uint, torch.Tensor> _gradients = [];
    private readonly torch.Tensor?[] _constants = new torch.Tensor?[plan.Program.Constants.Count];

    /// <summary>Waits until one of the kept tensors is freed; returns false if there is none. Null if the run does not wait.</summary>
    public Func<bool>? WaitForKept { get; init; }

    /// <summary>The value of a node, borrowed.</summary>
    public object? this[uint node]
    {
        get => _values[node] is var value && !ReferenceEquals(value, _empty) ? value
            : throw Errors.CreateException(ErrorCode.MissedValue,
                $"A value was never computed{RecordedAt(node)}: its branch was not taken, its "
                + "step did not happen, or its invoke stopped before it.",
                "Use it only where it was surely computed, or Save() it there.");
    }

    public bool Has(uint node) => !ReferenceEquals(_values[node], _empty);

    /// <summary>Whether the values are far from the limit, so that some of them may be held a little longer.</summary>
    public bool HasAmpleRoom => HeldBytes <= maxBytes / 64;

    /// <summary>How often the graph of the values has ended: none of its values was left. Zero if there is no limit.</summary>
    public int GraphEndCount => _autograd?.EndCount ?? 0;

    /// <summary>The bytes that the job may still allocate.</summary>
    public long FreeBytes
    {
        get
        {
            if (_kept.Count > 0) FreeKept();
            return maxBytes - HeldBytes;
        }
    }

    /// <summary>The bytes of the values, of the constants, of what graphs keep, and of the gradients of leaves.</summary>
    public long HeldBytes => _storages.Bytes + _itemBytes + (_autograd?.Bytes ?? 0);

    /// <summary>Sets the value of a node, which the slot owns from now on.</summary>
    /// <exception cref="NdifException">
    /// OUT_OF_MEMORY: the values exceed the limit. LIMIT_EXCEEDED: it is nested too deeply. The value is set nevertheless.
    /// </exception>
    public void Set(uint node, object? value, ValueOrigin origin = default)
    {
        Free(node);
        if (_kept.Count > 0) FreeKept();
        _values[node] = value;
        AddBytes(node, value, origin);
        ValueNesting.Require(value);
    }

    /// <summary>
    /// Keeps a tensor, which the run owns from now on, until a task has ended: a saved value that is being written. It counts with the
    /// values.
    /// </summary>
    public void Keep(torch.Tensor tensor, Task until)
    {
        _kept.Enqueue((tensor, until));
        if (_bytes.Length > 0) _storages.Add(tensor);
        ReportShared();
    }

    /// <summary>The task until whose end the first of the kept tensors is kept; null if there is none.</summary>
    public Task? KeptUntil
    {
        get
        {
            FreeKept();
            return _kept.TryPeek(out var first) ? first.Until : null;
        }
    }

    private void FreeKept()
    {
        while (_kept.TryPeek(out var first) && first.Until.IsCompleted)
        {
            _kept.Dequeue();
            if (_bytes.Length > 0) _storages.Remove(first.Tensor);
            first.Tensor.Dispose();
        }
        ReportShared();
    }

    /// <summary>Subtracts an item that will be freed, or changed, from the bytes of the value of a node, such as a list.</summary>
    public void RemoveBytes(uint node, object? item)
    {
        if (_bytes.Length == 0) return;
        long freed = Math.Min(ValueMemory.ItemBytesOf(item), _bytes[node]);
        _bytes[node] -= freed;
        _itemBytes -= freed;
        RemoveTensors(item);
        ReportShared();
    }

    /// <summary>Adds the bytes of an item that was added to the value of a node, such as a list.</summary>
    /// <exception cref="NdifException">OUT_OF_MEMORY, as <see cref="Set"/>.</exception>
    public void AddBytes(uint node, object? item, ValueOrigin origin = default)
    {
        if (_bytes.Length == 0) return;
        long before = HeldBytes, bytes = ValueMemory.ItemBytesOf(item);
        _bytes[node] += bytes;
        _itemBytes += bytes;
        _storages.Add(item);
        if (origin.Batch is { } batch) _storages.CountShare(batch);
        _autograd?.Add(item, origin);
        ReportShared();
        bool isSharedExceeded;
        while ((isSharedExceeded = shared is not null && shared.Used > shared.Total && bytes > 0) || HeldBytes > maxBytes)
            if (WaitForKept?.Invoke() != true) break;
        if (isSharedExceeded)
            throw OperationLimits.SharedMemoryShortage("The value", HeldBytes - before, before, shared!);
        if (HeldBytes > maxBytes)
            throw Errors.CreateException(ErrorCode.OutOfMemory,
                $"The values that the program holds at this point have {HeldBytes:N0} bytes; "
                + $"a job may hold {maxBytes:N0} at a time "
                + "here.",
                "A value is freed after its last use: save what is needed of it (a slice, a mean) and let it go, or use fewer rows at "
                + "once. A slice that is kept keeps the whole value: keep its Clone(). A value of a graph keeps the graph: keep its "
                + "Detach().");
    }

    public void Free(uint node)
    {
        object? value = _values[node];
        _values[node] = _empty;
        if (!ReferenceEquals(value, _empty))
        {
            if (_bytes.Length > 0)
            {
                (_itemBytes, _bytes[node]) = (_itemBytes - _bytes[node], 0);
                RemoveTensors(value);
            }
            TensorOwnership.DisposeTensors(value);
        }
        if (_gradients.Remove(node, out torch.Tensor? gradient)) FreeGradient(node, gradient);
        ReportShared();
    }

    /// <summary>A value is written into the model. Returns the value.</summary>
    public object? OnWritten(object? value)
    {
        _autograd?.OnWritten(value);
        return value;
    }

    /// <summary>The call of a module of the program has ended.</summary>
    public void OnCallEnded() => _autograd?.OnCallEnded();

    /// <summary>A pass begins whose values belong to a graph.</summary>
    public void OnPassStarted() => _autograd?.OnPassStarted();

    /// <summary>Such a pass has ended, whose values of the model have these bytes. What is left of it counts from now on.</summary>
    public void OnPassEnded(double bytes)
    {
        _autograd?.OnPassEnded((long)bytes);
        ReportShared();
    }

    /// <summary>The retained gradient of a value, borrowed; null if there is none.</summary>
    public torch.Tensor? Gradient(uint node) => _gradients.GetValueOrDefault(node);

    /// <summary>Adds the gradient of a backward pass to the retained one. It is freed with the value.</summary>
    public void AddGradient(uint node, torch.Tensor gradient)
    {
        torch.Tensor sum = (_gradients.Remove(node, out torch.Tensor? previous) ? previous + gradient : gradient.clone())
            .DetachFromDisposeScope();
        if (previous is not null) FreeGradient(node, previous);
        _gradients[node] = sum;
        AddBytes(node, sum);
    }

    private void FreeGradient(uint node, torch.Tensor gradient)
    {
        RemoveBytes(node, gradient);
        gradient.Dispose();
    }

    /// <summary>A constant of the program on the model's device, borrowed.</summary>
    public torch.Tensor Constant(uint index) =>
        _constants[index] ??= LoadConstant(index);

    private torch.Tensor LoadConstant(uint index)
    {
        torch.Tensor constant = loadConstant(index).ToTorch(plan.Model.Device).DetachFromDisposeScope();
        if (_bytes.Length > 0)
        {
            _storages.Add(constant);
            _autograd?.Add(constant, default); // it may become a leaf
        }
        ReportShared();
        return constant;
    }

    /// <summary>Frees everything but what is still kept for a task.</summary>
    public void Dispose()
    {
        for (uint i = 0; i < _values.Length; i++) Free(i);
        _autograd?.EndPass();
        for (int i = 0; i < _constants.Length; i++)
        {
            if (_bytes.Length > 0) RemoveTensors(_constants[i]);
            _constants[i]?.Dispose();
            _constants[i] = null;
        }
        FreeKept();
    }

    private void RemoveTensors(object? value)
    {
        _autograd?.Remove(value, _storages);
        _storages.Remove(value);
    }

    private void ReportShared()
    {
        if (shared is null || HeldBytes == _sharedBytes) return;
        shared.Add(HeldBytes - _sharedBytes);
        _sharedBytes = HeldBytes;
    }

    private string RecordedAt(uint node) => plan.LineOf(node) is { Line: > 0 } line ? $" (recorded at {line.File}:{line.Line})" : "";

    private static object?[] NewValues(int count)
    {
        var values = new object?[count];
        Array.Fill(values, _empty);
        return values;
    }
}
