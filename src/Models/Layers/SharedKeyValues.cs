using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Layers;

/// <summary>
/// The keys and values of one pass that later layers without their own attend to: those of the last layer of each type that has its own,
/// the cached ones included.
/// </summary>
/// <remarks>shared_kv_states in transformers/models/gemma4/modeling_gemma4.py</remarks>
public sealed class SharedKeyValues : IDisposable
{
    private readonly Dictionary<string, (Tensor Keys, Tensor Values)> _byLayerType = [];

    /// <param name="keys">[batch, kvHeads, kvSeq, headDim]</param>
    /// <param name="values">[batch, kvHeads, kvSeq, headDim]</param>
    internal void Set(string layerType, Tensor keys, Tensor values)
    {
        if (_byLayerType.Remove(layerType, out var earlier)) Dispose(earlier);
        _byLayerType.Add(layerType, (keys.alias().DetachFromDisposeScope(), values.alias().DetachFromDisposeScope()));
    }

    /// <returns>Two tensors, [batch, kvHeads, kvSeq, headDim].</returns>
    /// <exception cref="NdifException">UNSUPPORTED: the layer that computes them did not run in this pass.</exception>
    internal (Tensor Keys, Tensor Values) Get(string layerType, SiteModule reader, Device device)
    {
        if (!_byLayerType.TryGetValue(layerType, out var shared))
            throw Errors.CreateException(ErrorCode.Unsupported,
                $"`{reader.Path}` attends to the keys and values of an earlier layer (`{layerType}`), which did not run in this pass.",
                "Skip both layers, or neither.", reader.Path);
        return (shared.Keys.to(device), shared.Values.to(device));
    }

    public void Dispose()
    {
        foreach (var shared in _byLayerType.Values) Dispose(shared);
        _byLayerType.Clear();
    }

    private static void Dispose((Tensor Keys, Tensor Values) shared)
    {
        shared.Keys.Dispose();
        shared.Values.Dispose();
    }
}
