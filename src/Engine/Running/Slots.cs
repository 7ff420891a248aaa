using Ndif.Engine.Compiling;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>The values of one run, by node: set once (again in each turn of a loop), freed after their last use.</summary>
internal sealed class Slots(Plan plan, Func<uint, TensorData> constants) : IDisposable
{
    private static readonly object s_empty = new();

    private readonly object?[] _values = NewValues(plan.Statements.Length);
    private readonly Dictionary<uint, torch.Tensor> _gradients = [];
    private readonly torch.Tensor?[] _constants = new torch.Tensor?[plan.Program.Constants.Count];

    /// <summary>The value of a node, borrowed.</summary>
    public object? this[uint node]
    {
        get => _values[node] is var value && !ReferenceEquals(value, s_empty) ? value
            : throw Errors.Throwable(ErrorCode.MissedValue, $"A value was never computed{Recorded(node)}: its branch was not taken, its step did not happen, or its invoke stopped before it.",
                "Use it only where it was surely computed, or Save() it there.");
    }

    public bool Has(uint node) => !ReferenceEquals(_values[node], s_empty);

    /// <summary>Sets a node's value, which the slot owns from now on.</summary>
    public void Set(uint node, object? value)
    {
        Free(node);
        _values[node] = value;
    }

    public void Free(uint node)
    {
        object? value = _values[node];
        _values[node] = s_empty;
        if (!ReferenceEquals(value, s_empty)) Ownership.Release(value);
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
        _constants[index] ??= TensorBytes.ToTorch(constants(index), plan.Subject.Device).DetachFromDisposeScope();

    public void Dispose()
    {
        for (uint i = 0; i < _values.Length; i++) Free(i);
        for (int i = 0; i < _constants.Length; i++)
        {
            _constants[i]?.Dispose();
            _constants[i] = null;
        }
    }

    private string Recorded(uint node) => plan.LineOf(node) is { Line: > 0 } line ? $" (recorded at {line.File}:{line.Line})" : "";

    private static object?[] NewValues(int count)
    {
        var values = new object?[count];
        Array.Fill(values, s_empty);
        return values;
    }
}
