using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>
/// The memory that autograd holds for a job beside its values: what graphs keep of values that are freed, and the gradients of leaves.
/// 1. A value of a graph keeps the values that it was computed from, which are older, and the values of the model in its pass. What is
///    freed therefore counts until every value of a graph that is younger is freed as well.
/// 2. A backward pass leaves a gradient in each leaf (AccumulateGrad), with all elements of its shape. It counts from the time when the
///    leaf requires it, until no value is the leaf and no graph keeps it.
/// </summary>
internal sealed class AutogradMemory
{
    /// <summary>The memory of an operation in a graph.</summary>
    private const long MinNodeBytes = 512;

    private readonly Dictionary<uint, long> _holders = []; // the nodes whose values are part of a graph, and when they were set
    private readonly SortedSet<(long Time, uint Node)> _holdersByTime = [];
    private readonly PriorityQueue<(long Bytes, long Time), long> _freed = new(); // the youngest first
    private readonly Dictionary<nint, Leaf> _leaves = []; // also tensors that require no gradient yet
    private long _time, _lastEdit, _lastWrite, _passStart, _freedBytes, _gradientBytes;

    /// <summary>The bytes of what graphs keep and of the gradients of leaves.</summary>
    public long Bytes => _freedBytes + _gradientBytes;

    /// <summary>Whether a value is part of a graph.</summary>
    public bool HasGraph => _holders.Count > 0;

    /// <summary>A value was set as that of a node, or added to it.</summary>
    /// <param name="isEdited">Whether it was edited in place: other values may then have the graph of the edit.</param>
    public void OnSet(uint node, object? value, bool isEdited)
    {
        if (!IsRecorded(value)) return;
        if (_holders.TryGetValue(node, out long earlier)) _holdersByTime.Remove((earlier, node));
        _holders[node] = ++_time;
        _holdersByTime.Add((_time, node));
        if (!isEdited) return;
        _lastEdit = _time;
        if (_passStart > 0) _lastWrite = _time; // it may be a value of the model
    }

    /// <summary>A value was written into the model, which keeps its graph until the pass ends.</summary>
    public void OnWritten(object? value)
    {
        if (_passStart > 0 && IsRecorded(value)) _lastWrite = ++_time;
    }

    /// <summary>The value of a node is freed.</summary>
    /// <param name="bytes">The memory of its own, which the graph may keep.</param>
    public void OnFreed(uint node, long? bytes)
    {
        if (!_holders.Remove(node, out long time)) return;
        _holdersByTime.Remove((time, node));
        if (bytes is { } own) Keep(Math.Max(own, MinNodeBytes), time);
        RemoveUnkept();
    }

    /// <summary>A pass begins whose values belong to a graph.</summary>
    public void OnPassStarted() => _passStart = ++_time;

    /// <summary>A pass has ended. A value that was computed in it keeps the values of the model.</summary>
    /// <param name="bytes">The bytes of the values of the model.</param>
    public void OnPassEnded(long bytes)
    {
        Keep(bytes, _passStart);
        EndPass();
    }

    /// <summary>The pass that may run has ended, and the model keeps nothing.</summary>
    public void EndPass()
    {
        (_lastWrite, _passStart) = (0, 0);
        RemoveUnkept();
    }

    /// <summary>Adds the handles in a value, some of which may be leaves.</summary>
    public void AddHandles(object? value) => TensorOwnership.ForEachTensor(value, tensor =>
    {
        nint identity = GradientHook.Identity(tensor);
        Leaf leaf = _leaves.GetValueOrDefault(identity);
        long bytes = tensor.requires_grad && tensor.is_leaf ? tensor.numel() * tensor.element_size() : 0;
        if (leaf.Bytes == 0 && bytes > 0)
        {
            leaf = leaf with { Bytes = bytes, Time = ++_time };
            _gradientBytes += bytes;
        }
        _leaves[identity] = leaf with { Handles = leaf.Handles + 1 };
    });

    /// <summary>Removes the handles in a value, which have been added and are about to be freed.</summary>
    public void RemoveHandles(object? value) => TensorOwnership.ForEachTensor(value, tensor =>
    {
        nint identity = GradientHook.Identity(tensor);
        if (!_leaves.TryGetValue(identity, out Leaf leaf)) return;
        if (leaf.Handles > 1)
        {
            _leaves[identity] = leaf with { Handles = leaf.Handles - 1 };
            return;
        }
        _leaves.Remove(identity);
        _gradientBytes -= leaf.Bytes;
        if (leaf.Bytes > 0) Keep(2 * leaf.Bytes, leaf.Time); // with its own elements
    });

    /// <summary>What was set later than this is in no graph any more.</summary>
    private long Youngest => Math.Max(_lastWrite, _holders.Count == 0 ? 0 : Math.Max(_holdersByTime.Max.Time, _lastEdit));

    private void RemoveUnkept()
    {
        long youngest = Youngest;
        while (_freed.TryPeek(out var freed, out _) && freed.Time > youngest) _freedBytes -= _freed.Dequeue().Bytes;
    }

    private void Keep(long bytes, long time)
    {
        if (time > Youngest) return;
        _freed.Enqueue((bytes, time), -time);
        _freedBytes += bytes;
    }

    private static bool IsRecorded(object? value)
    {
        bool isRecorded = false;
        TensorOwnership.ForEachTensor(value, tensor => isRecorded |= tensor.requires_grad && !tensor.is_leaf);
        return isRecorded;
    }

    private readonly record struct Leaf(int Handles, long Bytes, long Time);
}
