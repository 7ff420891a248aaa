namespace Ndif.Engine.Running;

/// <summary>
/// What stays in memory as long as something refers to it, as a node of autograd's graph (<c>torch::autograd::Node</c>): a tensor that
/// the graph keeps, what an operation has saved for its gradient, the gradient of a leaf.
/// </summary>
internal sealed class GraphNode
{
    private readonly GraphMemory _memory;
    private readonly IReadOnlyCollection<GraphNode> _parents;
    private long _bytes;
    private int _references = 1;

    /// <summary>Creates a node with one reference, which is that of the caller. It refers to its parents.</summary>
    /// <param name="isRecorded">Whether it is an operation that autograd has recorded.</param>
    public GraphNode(GraphMemory memory, long bytes, bool isRecorded, params IReadOnlyCollection<GraphNode> parents)
    {
        (_memory, _parents, IsRecorded) = (memory, parents, isRecorded);
        foreach (GraphNode parent in parents) parent._references++;
        memory.OnCreated(this);
        AddBytes(bytes);
    }

    public bool IsRecorded { get; }

    /// <summary>Whether there is another reference than that of the caller.</summary>
    public bool IsShared => _references > 1;

    public void AddBytes(long bytes)
    {
        _bytes += bytes;
        _memory.Bytes += bytes;
    }

    /// <summary>Gives a reference back. A chain of operations may be as long as a program runs.</summary>
    public void Release()
    {
        var released = new Stack<GraphNode>();
        released.Push(this);
        while (released.TryPop(out GraphNode? node))
        {
            if (--node._references > 0) continue;
            node.AddBytes(-node._bytes);
            _memory.OnFreed(node);
            foreach (GraphNode parent in node._parents) released.Push(parent);
        }
    }
}

/// <summary>The memory of the nodes of a job.</summary>
internal sealed class GraphMemory
{
    private int _recorded;

    public long Bytes { get; set; }

    /// <summary>How often the graph has ended: no operation of it was left.</summary>
    public int EndCount { get; private set; }

    public void OnCreated(GraphNode node)
    {
        if (node.IsRecorded) _recorded++;
    }

    public void OnFreed(GraphNode node)
    {
        if (node.IsRecorded && --_recorded == 0) EndCount++;
    }
}
