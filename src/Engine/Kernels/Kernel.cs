namespace Ndif.Engine.Kernels;

/// <summary>
/// Computes one operation. What it returns is a tensor, a number (long, double), a bool, a text, a tuple (<c>object?[]</c>), a
/// list (<c>List&lt;object?&gt;</c>) or null. The caller has opened a dispose scope around it and keeps only the result.
/// </summary>
/// <remarks>
/// An operation in place returns its first argument itself; <c>getitem</c> on a container returns the item itself. Every other
/// tensor that comes back is a new object (it may share memory with an argument, as PyTorch's views do).
/// </remarks>
public delegate object? Kernel(in OpArguments arguments);

/// <summary>From start to stop by step, as Python's slice; null is the default.</summary>
public sealed record SliceValue(object? Start, object? Stop, object? Step);

/// <summary>The "..." of an index.</summary>
public sealed record EllipsisValue
{
    public static readonly EllipsisValue Instance = new();
}
