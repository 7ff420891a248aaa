namespace Ndif.Engine.Running;

/// <summary>The memory of tensors that a job holds, and the graph of those of them that require a gradient.</summary>
/// <param name="key">The address of the memory.</param>
/// <param name="isOfPass">Whether it is that of a value of the model, which counts with the others of its pass.</param>
internal sealed class GraphStorage(nint key, bool isOfPass)
{
    private GraphNode? _memory;
    private int _tensors, _requiringGrad;

    public nint Key => key;

    public bool IsOfPass => isOfPass;

    /// <summary>Whether a tensor was edited in place: all others then have the graph of the edit.</summary>
    public bool IsEdited { get; set; }

    /// <summary>The last operation that was recorded for the tensors; null if none of them is part of a graph.</summary>
    public GraphNode? Operation { get; private set; }

    /// <summary>What an operation with one of the tensors as an argument refers to.</summary>
    public GraphNode GetNode(GraphMemory graph) => Operation ?? (_memory ??= new GraphNode(graph, 0, isRecorded: false));

    public void AddTensor() => _tensors++;

    /// <summary>One of the tensors requires a gradient from now on.</summary>
    public void RequireGrad() => _requiringGrad++;

    /// <summary>Takes the reference of a new operation of one of the tensors.</summary>
    public void Record(GraphNode operation)
    {
        Operation?.Release();
        Operation = operation;
    }

    /// <summary>One of the tensors is freed.</summary>
    /// <returns>Whether there are others.</returns>
    public bool RemoveTensor(bool requiresGrad)
    {
        _tensors--;
        if (requiresGrad) _requiringGrad--;
        if ((IsEdited ? _tensors : _requiringGrad) == 0)
        {
            Operation?.Release();
            Operation = null;
        }
        return _tensors > 0;
    }

    /// <summary>The last of the tensors is freed. A graph may keep their memory.</summary>
    public void Free(long bytes)
    {
        if (_memory is not { } memory) return;
        if (memory.IsShared) memory.AddBytes(bytes);
        memory.Release();
    }
}
