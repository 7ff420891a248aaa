using TorchSharp;

namespace Ndif.Engine.Kernels;

/// <summary>What the kernels of one owner's run share.</summary>
public sealed class KernelContext
{
    /// <summary>Where the model's values are; created tensors go there.</summary>
    public torch.Device Device { get; init; } = torch.CPU;

    /// <summary>The element type of created floating-point tensors.</summary>
    public torch.ScalarType DefaultType { get; init; } = torch.ScalarType.Float32;

    /// <summary>Random operations without a seed of their own draw from here, so that owners do not disturb each other.</summary>
    public torch.Generator? Generator { get; init; }

    /// <summary>The largest tensor an operation may make or spread out, in bytes. Default: 2 GiB.</summary>
    public long MaxTensorBytes { get; init; } = 1L << 31;

    /// <summary>The most items of a list that an operation may make (split, unbind, tolist). Default: 65 536.</summary>
    public int MaxListItems { get; init; } = 1 << 16;
}
