using Ndif.Engine.Compiling;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>The values of one run, by node: set once (again in each turn of a loop), freed after their last use.</summary>
/// <param name="maxBytes">Bytes that they may have together at a time; a view counts as what it shows.</param>
internal sealed class ValueSlots(Plan plan, Func<uint, TensorData> loadConstant, long maxBytes = long.MaxValue) : IDisposable
{
    private static readonly object _empty = new();

    private readonly object?[] _values = NewValues(plan.Statements.Length);
    private readonly long[] _bytes = new long[maxBytes == long.MaxValue ? 0 : plan.Statements.Length];
    private long _totalBytes;
    private readonly Dictionary<uint, torch.Tensor> _gradients = [];
    private readonly torch.Tensor?[] _constants = new torch.Tensor?[plan.Program.Constants.Count];

    /// <summary>The value of a node, borrowed.</summary>
    public object? this[uint node]
    {
        get => _values[node] is var value && !ReferenceEquals(value, _empty) ? value
            : throw Errors.CreateException(ErrorCode.MissedValue, $"A value was never computed{RecordedAt(node)}: its branch was not taken, its step did not happen, or its invoke stopped before it.",
                "Use it only where it was surely computed, or Save() it there.");
    }

    public bool Has(uint node) => !ReferenceEquals(_values[node], _empty);

    /// <summary>Sets a node's value, which the slot owns from now on.</summary>
    /// <exception cref="NdifException">OUT_OF_MEMORY: together they have more bytes than they may. The value is here all the same.</exception>
    public void Set(uint node, object? value)
    {
        Free(node);
        _values[node] = value;
        TrackBytes(node, value);
    }

    /// <summary>Counts what a node's value has taken in: an item of a list.</summary>
    /// <exception cref="NdifException">OUT_OF_MEMORY, as <see cref="Set"/>.</exception>
    public void TrackBytes(uint node, object? item)
    {
        if (_bytes.Length == 0) return;
        long bytes = ValueSize.BytesOf(item);
        _bytes[node] += bytes;
        _totalBytes += bytes;
        if (_totalBytes > maxBytes)
            throw Errors.CreateException(ErrorCode.OutOfMemory, $"The values that the program holds at this point have {_totalBytes:N0} bytes; a job may hold {maxBytes:N0} at a time here.",
                "A value is freed after its last use: save what is needed of it (a slice, a mean) and let it go, or use fewer rows at once.");
    }

    public void Free(uint node)
    {
        object? value = _values[node];
        _values[node] = _empty;
        if (_bytes.Length > 0) (_totalBytes, _bytes[node]) = (_totalBytes - _bytes[node], 0);
        if (!ReferenceEquals(value, _empty)) TensorOwnership.DisposeTensors(value);
        if (_gradients.Remove(node, out torch.Tensor? gradient)) gradient.Dispose();
    }

    /// <summary>The gradient of a value, as kept by the backward passes so far; borrowed. Null if none came.</summary>
    public torch.Tensor? Gradient(uint node) => _gradients.GetValueOrDefault(node);

    /// <summary>Adds what a backward pass brought; it goes with the value.</summary>
    public void AddGradient(uint node, torch.Tensor gradient)
    {
        torch.Tensor sum = (_gradients.Remove(node, out torch.Tensor? before) ? before + gradient : gradient.clone()).DetachFromDisposeScope();
        before?.Dispose();
        _gradients[node] = sum;
    }

    /// <summary>A constant of the program on the model's device, borrowed.</summary>
    public torch.Tensor Constant(uint index) =>
        _constants[index] ??= TensorBytes.ToTorch(loadConstant(index), plan.Model.Device).DetachFromDisposeScope();

    public void Dispose()
    {
        for (uint i = 0; i < _values.Length; i++) Free(i);
        for (int i = 0; i < _constants.Length; i++)
        {
            _constants[i]?.Dispose();
            _constants[i] = null;
        }
    }

    private string RecordedAt(uint node) => plan.LineOf(node) is { Line: > 0 } line ? $" (recorded at {line.File}:{line.Line})" : "";

    private static object?[] NewValues(int count)
    {
        var values = new object?[count];
        Array.Fill(values, _empty);
        return values;
    }
}
