using static TorchSharp.torch;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>
/// The keys and values of a batch whose rows are padded on the left, in plain TorchSharp: allocated once for all tokens, written in place.
/// </summary>
internal sealed class PlainKeyValueCache : IDisposable
{
    private const float Hidden = -1e9f; // finite, so that a row of padding alone has no NaN

    private readonly Tensor[] _keys, _values; // [batch, kvHeads, capacity, headDim]
    private readonly Tensor _padding;         // [batch, 1, 1, capacity]

    /// <param name="padding">The number of padding tokens before each row.</param>
    public PlainKeyValueCache(int numLayers, int kvHeads, int headDim, int capacity, ScalarType type, int[] padding)
    {
        Padding = padding;
        _keys = [.. Enumerable.Range(0, numLayers).Select(_ => NewSlots())];
        _values = [.. Enumerable.Range(0, numLayers).Select(_ => NewSlots())];
        _padding = zeros([padding.Length, 1, 1, capacity], type).DetachFromDisposeScope();
        using var scope = NewDisposeScope();
        for (int row = 0; row < padding.Length; row++) _padding[row].narrow(2, 0, padding[row]).fill_(Hidden);

        Tensor NewSlots() => zeros([padding.Length, kvHeads, capacity, headDim], type).DetachFromDisposeScope();
    }

    public int[] Padding { get; }

    /// <summary>The number of tokens of each row in the cache, padding included.</summary>
    public long Length { get; private set; }

    /// <summary>Appends the keys and values of a pass in one layer.</summary>
    /// <param name="key">[batch, kvHeads, seq, headDim]</param>
    /// <param name="value">[batch, kvHeads, seq, headDim]</param>
    /// <returns>Those of all tokens, [batch, kvHeads, kvSeq, headDim].</returns>
    public (Tensor Keys, Tensor Values) Append(int layer, Tensor key, Tensor value)
    {
        long tokens = key.size(2);
        _keys[layer].narrow(2, Length, tokens).copy_(key);
        _values[layer].narrow(2, Length, tokens).copy_(value);
        return (_keys[layer].narrow(2, 0, Length + tokens), _values[layer].narrow(2, 0, Length + tokens));
    }

    /// <summary>The mask of a pass: that of the padding, and for a prompt the causal one.</summary>
    /// <returns>[batch, 1, 1 or seq, kvSeq]</returns>
    public Tensor Mask(long tokens)
    {
        Tensor padding = _padding.narrow(3, 0, Length + tokens);                            // [batch, 1, 1, kvSeq]
        if (tokens == 1) return padding;
        Tensor causal = full([tokens, Length + tokens], Hidden, padding.dtype).triu(Length + 1);  // [seq, kvSeq]
        return (padding + causal).clamp_min(Hidden);
    }

    /// <summary>Ends a pass.</summary>
    public void Advance(long tokens) => Length += tokens;

    public void Dispose()
    {
        foreach (Tensor slots in (Tensor[])[.. _keys, .. _values, _padding]) slots.Dispose();
    }
}
