using Ndif.Models.Loading;
using TorchSharp;

namespace Ndif.Models;

/// <summary>A weight of a module: its name and shape are known with the tree, its tensor comes with the checkpoint.</summary>
/// <param name="parts">
/// What checkpoints have in its place, if they do: tensors whose rows, one part after the other, are the weight's. Named as seen from
/// the module: "0.up_proj.weight".
/// </param>
public sealed class Parameter(string name, long[] shape, IReadOnlyList<(string Name, long[] Shape)>? parts = null)
{
    private torch.Tensor? _value;
    private EightBitWeight? _eightBitWeight;

    public string Name { get; } = name;

    public long[] Shape { get; } = shape;

    public IReadOnlyList<(string Name, long[] Shape)> Parts { get; } = parts ?? [];

    /// <summary>
    /// The dimension that is summed over where this is the weight of a linear layer, which can be kept in eight bits; null for any other.
    /// </summary>
    public int? InFeaturesDim { get; internal init; }

    public bool IsLoaded => _value is not null || _eightBitWeight is not null;

    /// <summary>True if it is kept in eight bits, and <see cref="Value"/> is a wide copy of it.</summary>
    public bool IsEightBit => _eightBitWeight is not null;

    /// <summary>The tensor, owned by the model; of a weight in eight bits a new one, owned by the dispose scope that is open.</summary>
    /// <exception cref="InvalidOperationException">The weights have not been loaded.</exception>
    public torch.Tensor Value
    {
        get => _eightBitWeight is { } eight ? eight.Dequantize()
            : _value ?? throw new InvalidOperationException($"The weight `{Name}` has not been loaded.");
        set => _value = value;
    }

    /// <summary>In memory.</summary>
    internal long Bytes => _eightBitWeight?.Bytes ?? (_value is { } value ? value.numel() * value.element_size() : 0);

    /// <summary>Keeps the weight in eight bits.</summary>
    internal void SetEightBit(EightBitWeight weight) => _eightBitWeight = weight;

    /// <summary>Where it is.</summary>
    internal torch.Device Device => _eightBitWeight?.Device ?? _value?.device ?? torch.CPU;

    /// <summary>Moves what is loaded to another device; nothing if it is there.</summary>
    internal void MoveTo(torch.Device device)
    {
        if (Device.type == device.type && Device.index == device.index) return;
        _eightBitWeight?.MoveTo(device);
        if (_value is not { } value) return;
        using var nothing = torch.no_grad();
        _value = value.to(device).DetachFromDisposeScope();
        if (!ReferenceEquals(_value, value)) value.Dispose();
    }

    /// <summary>Frees the tensor; once is enough for a parameter that two modules share.</summary>
    internal void Unload()
    {
        _value?.Dispose();
        _value = null;
        _eightBitWeight?.Dispose();
        _eightBitWeight = null;
    }
}
