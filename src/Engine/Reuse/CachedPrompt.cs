using TorchSharp;

namespace Ndif.Engine.Reuse;

/// <summary>What earlier passes have computed for the first tokens of a prompt, without an edit of them.</summary>
/// <param name="owner">Whose jobs may use it.</param>
/// <param name="ids">The token ids, [seq].</param>
internal sealed class CachedPrompt(string owner, long[] ids, int numLayers) : IDisposable
{
    private readonly CachedTokens?[] _layers = new CachedTokens?[numLayers];

    public string Owner => owner;

    public long[] Ids => ids;

    public int NumLayers => numLayers;

    /// <summary>The memory of all tensors, in bytes.</summary>
    public long ByteCount => _layers.Sum(layer => layer?.ByteCount ?? 0);

    /// <summary>The first tokens of the prompt in a layer; null if nothing is known of it.</summary>
    public CachedTokens? this[int layer]
    {
        get => _layers[layer];
        set
        {
            _layers[layer]?.Dispose();
            _layers[layer] = value;
        }
    }

    /// <summary>The number of first tokens that are known in a layer.</summary>
    public int TokenCount(int layer) => _layers[layer]?.Count ?? 0;

    /// <summary>The number of first tokens that two prompts share.</summary>
    public int CommonPrefixLength(ReadOnlySpan<long> other) => ids.AsSpan().CommonPrefixLength(other);

    public void Dispose()
    {
        foreach (CachedTokens? layer in _layers) layer?.Dispose();
        Array.Clear(_layers);
    }
}

/// <summary>The first tokens of a prompt in one layer. The tensors belong to no dispose scope.</summary>
/// <param name="Output">[count, hidden]</param>
/// <param name="Keys">[kvHeads, count, headDim]</param>
/// <param name="Values">[kvHeads, count, headDim]</param>
internal sealed record CachedTokens(torch.Tensor Output, torch.Tensor Keys, torch.Tensor Values) : IDisposable
{
    public int Count { get; } = (int)Output.size(0);

    public long ByteCount { get; } = Bytes(Output) + Bytes(Keys) + Bytes(Values);

    public void Dispose()
    {
        Output.Dispose();
        Keys.Dispose();
        Values.Dispose();
    }

    private static long Bytes(torch.Tensor tensor) => tensor.NumberOfElements * tensor.ElementSize;
}
