using TorchSharp;

namespace Ndif.Engine.Kernels;

/// <summary>The state that the kernels of one job share.</summary>
internal sealed class KernelContext
{
    /// <summary>The device of the model, on which tensors are created.</summary>
    public torch.Device Device { get; init; } = torch.CPU;

    /// <summary>The element type of created floating-point tensors.</summary>
    public torch.ScalarType DefaultType { get; init; } = torch.ScalarType.Float32;

    /// <summary>The generator of random operations without a seed of their own, made when it is first used. Each job has its own.</summary>
    public Lazy<torch.Generator>? Generator { get; init; }

    /// <summary>The bytes of the largest tensor that an operation may create or expand to. Default: 2 GiB.</summary>
    public long MaxTensorBytes { get; init; } = 1L << 31;

    /// <summary>The memory and the time that the job has left; null if neither is limited.</summary>
    public Running.OperationLimits? Limits { get; init; }

    /// <summary>The items of the longest list that an operation may create (split, unbind, tolist). Default: 65 536.</summary>
    public int MaxListItems { get; init; } = 1 << 16;
}
