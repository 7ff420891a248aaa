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

    public string Name { get; } = name;

    public long[] Shape { get; } = shape;

    public IReadOnlyList<(string Name, long[] Shape)> Parts { get; } = parts ?? [];

    public bool IsLoaded => _value is not null;

    /// <summary>The tensor, owned by the model.</summary>
    /// <exception cref="InvalidOperationException">The weights have not been loaded.</exception>
    public torch.Tensor Value
    {
        get => _value ?? throw new InvalidOperationException($"The weight `{Name}` has not been loaded.");
        set => _value = value;
    }

    /// <summary>Frees the tensor; once is enough for a parameter that two modules share.</summary>
    internal void Unload()
    {
        _value?.Dispose();
        _value = null;
    }
}
