using Ndif.Models.Loading;
using TorchSharp;

namespace Ndif.Models;

/// <summary>A parameter of a module. Its name and shape are known with the module tree; its tensor is loaded from a checkpoint.</summary>
/// <param name="parts">
/// The tensors that checkpoints store instead, if they do: concatenated along dimension 0 they are the weight. Named relative to the
/// module: "0.up_proj.weight".
/// </param>
public sealed class Parameter(string name, long[] shape, IReadOnlyList<(string Name, long[] Shape)>? parts = null)
{
    private torch.Tensor? _value;
    private EightBitWeight? _eightBitWeight;
    private BlockWeight? _blockWeight;

    public string Name { get; } = name;

    public long[] Shape { get; } = shape;

    /// <summary>The number of elements.</summary>
    public long ElementCount => TensorShape.ElementCount(Shape);

    public IReadOnlyList<(string Name, long[] Shape)> Parts { get; } = parts ?? [];

    /// <summary>
    /// The dimension of the input features, if this is the weight of a linear layer, which can be quantized to eight bits; null for any
    /// other parameter.
    /// </summary>
    public int? InFeaturesDim { get; internal init; }

    /// <summary>Whether PyTorch has this tensor as a buffer, which is not trained and not among the parameters of a module.</summary>
    public bool IsBuffer { get; internal init; }

    /// <summary>Whether a checkpoint may lack the tensor, which then is zero.</summary>
    public bool IsZeroByDefault { get; internal init; }

    public bool IsLoaded => _value is not null || _eightBitWeight is not null || _blockWeight is not null;

    /// <summary>
    /// Whether the weight is kept in four or eight bits. <see cref="Value"/> then returns a dequantized copy.
    /// </summary>
    public bool IsPacked => _value is null && (_eightBitWeight is not null || _blockWeight is not null);

    /// <summary>Whether the weight is quantized to eight bits. <see cref="Value"/> then returns a dequantized copy.</summary>
    public bool IsEightBit => _eightBitWeight is not null;

    /// <summary>The quantized weight, if the parameter has one.</summary>
    internal EightBitWeight? EightBit => _eightBitWeight;

    /// <summary>The weight in four or eight bits by blocks, if the parameter has one and no tensor in its place.</summary>
    internal BlockWeight? Blocks => _value is null ? _blockWeight : null;

    /// <summary>
    /// The tensor, which the model owns. For a packed weight a new tensor, which belongs to the current dispose scope; a tensor that is set
    /// takes the packed weight's place until <see cref="ClearValue"/>.
    /// </summary>
    /// <exception cref="InvalidOperationException">The weights have not been loaded.</exception>
    public torch.Tensor Value
    {
        get => _eightBitWeight is { } quantized ? quantized.Dequantize()
            : _value ?? _blockWeight?.Dequantize() ?? throw new InvalidOperationException($"The weight `{Name}` has not been loaded.");
        set => _value = value;
    }

    /// <summary>The bytes in memory.</summary>
    internal long Bytes => _eightBitWeight?.Bytes ?? _blockWeight?.Bytes ?? (_value is { } value ? value.numel() * value.element_size()
        : 0);

    /// <summary>Sets the quantized weight.</summary>
    internal void SetEightBit(EightBitWeight weight) => _eightBitWeight = weight;

    /// <summary>Sets the weight in four or eight bits by blocks.</summary>
    internal void SetBlocks(BlockWeight weight) => _blockWeight = weight;

    /// <summary>Forgets the tensor, so that a packed weight is used again. The caller owns the tensor.</summary>
    internal void ClearValue() => _value = null;

    /// <summary>The device of the loaded tensor.</summary>
    internal torch.Device Device => _eightBitWeight?.Device ?? _value?.device ?? torch.CPU;

    /// <summary>Moves the loaded tensor to another device, unless it is there.</summary>
    internal void MoveTo(torch.Device device)
    {
        if (Device.IsSameDevice(device)) return;
        _eightBitWeight?.MoveTo(device);
        if (_value is not { } value) return;
        using var noGrad = torch.no_grad();
        _value = value.to(device).DetachFromDisposeScope();
        if (!ReferenceEquals(_value, value)) value.Dispose();
    }

    /// <summary>Frees the tensor. May be called repeatedly, as for a parameter that two modules share.</summary>
    internal void Unload()
    {
        _value?.Dispose();
        _value = null;
        _eightBitWeight?.Dispose();
        _eightBitWeight = null;
        _blockWeight?.Dispose();
        _blockWeight = null;
    }
}
