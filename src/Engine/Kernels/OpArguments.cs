using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Kernels;

/// <summary>
/// Computes one operation. What it returns is a tensor, a number (long, double), a bool, a text, a tuple (<c>object?[]</c>), a
/// list (<c>List&lt;object?&gt;</c>) or null. The caller has opened a dispose scope around it and keeps only the result.
/// </summary>
public delegate object? Kernel(in OpArguments arguments);

/// <summary>From start to stop by step, as Python's slice; null is the default.</summary>
public sealed record SliceValue(object? Start, object? Stop, object? Step);

/// <summary>The "..." of an index.</summary>
public sealed record EllipsisValue
{
    public static readonly EllipsisValue Instance = new();
}

/// <summary>What the kernels of one owner's run share.</summary>
public sealed class KernelContext
{
    /// <summary>Where the model's values are; created tensors go there.</summary>
    public torch.Device Device { get; init; } = torch.CPU;

    /// <summary>The element type of created floating-point tensors.</summary>
    public torch.ScalarType DefaultType { get; init; } = torch.ScalarType.Float32;

    /// <summary>Random operations without a seed of their own draw from here, so that owners do not disturb each other.</summary>
    public torch.Generator? Generator { get; init; }
}

/// <summary>The arguments of a call, bound to the positions of its <see cref="OpSchema"/>, defaults filled in.</summary>
public readonly struct OpArguments(OpSchema schema, object?[] values, KernelContext context)
{
    public OpSchema Schema { get; } = schema;

    public KernelContext Context { get; } = context;

    public object? this[int position] => values[position];

    public int Count => values.Length;
}
