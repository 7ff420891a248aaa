using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>
/// The memory that autograd holds for a job beside its values, counted by a copy of its graph. A tensor whose values have been freed
/// counts as long as an operation that has it as an argument is part of a graph, and so do the values of the model in a pass of which the
/// job has a value. A leaf has a gradient of all elements of its shape (AccumulateGrad) from the time when it requires one.
/// </summary>
/// <remarks>
/// The graph is one of storages, because a view has the graph of its base after an edit in place (<c>VariableHooks</c>), and counts at
/// least what autograd keeps: an operation keeps all of its arguments here, also those that its gradient does not need, and what a
/// backward pass frees counts until its values are freed.
/// </remarks>
internal sealed class AutogradMemory
{
    /// <summary>The memory of an operation in a graph.</summary>
    private const long OperationBytes = 512;

    private readonly GraphMemory _memory = new();
    private readonly Dictionary<nint, HeldTensor> _tensors = []; // by identity
    private readonly Dictionary<nint, GraphStorage> _storages = [];
    private GraphNode? _pass; // what the model keeps in the pass or call that runs
    private GraphNode? _passValues; // the values of the model

    /// <summary>The bytes of what graphs keep and of the gradients of leaves.</summary>
    public long Bytes => _memory.Bytes;

    /// <summary>How often the graph has ended: none of its values was left.</summary>
    public int EndCount => _memory.EndCount;

    /// <summary>A value was set or added.</summary>
    public void Add(object? value, ValueOrigin origin)
    {
        object?[]? operands = origin.Operands;
        if (operands is not null) TensorOwnership.ForEachTensor(operands, Update); // requires_grad_ changes its argument
        TensorOwnership.ForEachTensor(value, tensor => Hold(tensor, isOfPass: operands is null && _pass is not null));
        long bytes = OperationBytes + (long)origin.WorkspaceBytes;
        TensorOwnership.ForEachTensor(value, tensor =>
        {
            if (!IsRecorded(tensor) || FindStorage(tensor) is not { } storage) return;
            if (operands is null && storage.Operation is not null) return;
            List<GraphNode> parents = operands is null ? _pass is null ? [] : [_pass] : ParentsIn(operands);
            GraphNode node = storage.GetNode(_memory);
            if (!parents.Contains(node)) parents.Add(node);
            storage.Record(new GraphNode(_memory, bytes, isRecorded: true, parents));
            bytes = OperationBytes;
            if (!origin.IsEdit) return;
            storage.IsEdited = true;
            if (_pass is not null) AddToPass([storage.Operation!]); // it may be a value of the model
        });
    }

    /// <summary>A value is about to be freed.</summary>
    /// <param name="storages">It is in them still.</param>
    public void Remove(object? value, HeldStorages storages) => TensorOwnership.ForEachTensor(value, tensor =>
    {
        nint identity = GradientHook.Identity(tensor);
        if (!_tensors.TryGetValue(identity, out HeldTensor held)) return;
        if (held.Handles > 1)
        {
            _tensors[identity] = held with { Handles = held.Handles - 1 };
            return;
        }
        _tensors.Remove(identity);
        GraphStorage storage = held.Storage;
        if (storage.RemoveTensor(held.RequiresGrad)) return;
        _storages.Remove(storage.Key);
        storage.Free(storage.IsOfPass ? 0 : storages.BytesOf(storage.Key));
    });

    /// <summary>A value is written into the model or a module of the program, which keeps its graph until the pass or call ends.</summary>
    public void OnWritten(object? value) => AddToPass(ParentsIn([value], onlyRecorded: true));

    /// <summary>A pass begins whose values belong to a graph.</summary>
    public void OnPassStarted()
    {
        EndPass();
        _passValues = new GraphNode(_memory, 0, isRecorded: true);
        _pass = new GraphNode(_memory, 0, isRecorded: true, _passValues);
    }

    /// <summary>A pass has ended. A value that was computed in it keeps the values of the model.</summary>
    /// <param name="bytes">The bytes of the values of the model.</param>
    public void OnPassEnded(long bytes)
    {
        _passValues?.AddBytes(bytes);
        EndPass();
    }

    /// <summary>The call of a module of the program has ended. Outside of a pass, nothing keeps what was written into it.</summary>
    public void OnCallEnded()
    {
        if (_passValues is null) EndPass();
    }

    /// <summary>The pass that may run has ended, and the model keeps nothing.</summary>
    public void EndPass()
    {
        _pass?.Release();
        _passValues?.Release();
        (_pass, _passValues) = (null, null);
    }

    /// <summary>What the model has from now on belongs to the graphs of these values too.</summary>
    private void AddToPass(List<GraphNode> nodes)
    {
        if (nodes.Count == 0) return;
        GraphNode? earlier = _pass;
        if (earlier is not null) nodes.Add(earlier);
        _pass = new GraphNode(_memory, OperationBytes, isRecorded: true, nodes);
        earlier?.Release();
    }

    private List<GraphNode> ParentsIn(object?[] values, bool onlyRecorded = false)
    {
        List<GraphNode> parents = [];
        TensorOwnership.ForEachTensor(values, tensor =>
        {
            if (onlyRecorded && !tensor.requires_grad) return;
            if (FindStorage(tensor)?.GetNode(_memory) is { } node && !parents.Contains(node)) parents.Add(node);
        });
        return parents;
    }

    private void Hold(torch.Tensor tensor, bool isOfPass)
    {
        nint identity = GradientHook.Identity(tensor);
        if (_tensors.TryGetValue(identity, out HeldTensor held))
        {
            _tensors[identity] = held with { Handles = held.Handles + 1 };
        }
        else
        {
            // what has no elements has no memory, but may have a graph
            nint key = HeldStorages.StorageOf(tensor)?.Storage ?? identity;
            if (!_storages.TryGetValue(key, out GraphStorage? storage))
                _storages[key] = storage = new GraphStorage(key, isOfPass && IsRecorded(tensor));
            storage.AddTensor();
            _tensors[identity] = new HeldTensor(storage, Handles: 1, RequiresGrad: false);
        }
        Update(tensor);
    }

    /// <summary>Notes that a tensor which is held requires a gradient.</summary>
    private void Update(torch.Tensor tensor)
    {
        if (!tensor.requires_grad) return;
        nint identity = GradientHook.Identity(tensor);
        if (!_tensors.TryGetValue(identity, out HeldTensor held) || held.RequiresGrad) return;
        _tensors[identity] = held with { RequiresGrad = true };
        held.Storage.RequireGrad();
        if (!tensor.is_leaf) return;
        GraphNode memory = held.Storage.GetNode(_memory);
        held.Storage.Record(new GraphNode(_memory, tensor.numel() * tensor.element_size(), isRecorded: false, memory));
    }

    private GraphStorage? FindStorage(torch.Tensor tensor) => _tensors.GetValueOrDefault(GradientHook.Identity(tensor)).Storage;

    private static bool IsRecorded(torch.Tensor tensor) => tensor.requires_grad && !tensor.is_leaf;

    private readonly record struct HeldTensor(GraphStorage Storage, int Handles, bool RequiresGrad);
}
