using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models;

/// <summary>
/// The keys and values of the tokens so far, per layer, so that a generation step runs the new tokens only. Used without autograd.
/// </summary>
/// <remarks>
/// A layer's tensors are [batch, heads, capacity, headDim] with the first <see cref="Length"/> slots filled; the capacity doubles when
/// it is used up, so that a step writes its own tokens and copies nothing else. The tensors belong to the cache and to no dispose
/// scope; what <see cref="Update"/> returns are views.
/// </remarks>
public sealed class KeyValueCache : IDisposable
{
    private const long InitialCapacity = 64;

    private readonly Layer?[] _layers;

    public KeyValueCache(int numLayers) => _layers = new Layer?[numLayers];

    /// <summary>Tokens in the cache, padding included: how many keys a row attends to beside those of the current pass.</summary>
    public long Length { get; private set; }

    /// <summary>Adds this pass's keys and values of a layer.</summary>
    /// <param name="key">[batch, heads, seq, headDim]</param>
    /// <param name="value">[batch, heads, seq, headDim]</param>
    /// <returns>Those of all tokens, Length + tokens of them, as views [batch, heads, kvSeq, headDim].</returns>
    /// <exception cref="NdifException">The layer did not run in an earlier pass, so that its tokens are missing.</exception>
    public (Tensor Keys, Tensor Values) Update(int layer, Tensor key, Tensor value)
    {
        long tokens = key.size(2);
        Layer entry = EnsureCapacity(layer, tokens, capacity => new Layer(Layer.NewSlots(key, capacity), Layer.NewSlots(value, capacity)));
        using (no_grad())
        {
            using Tensor keySlots = entry.Keys.narrow(2, Length, tokens);       // [batch, heads, seq, headDim]
            using Tensor valueSlots = entry.Values.narrow(2, Length, tokens);   // [batch, heads, seq, headDim]
            keySlots.copy_(key);
            valueSlots.copy_(value);
        }
        entry.Length = Length + tokens;
        return (entry.Keys.narrow(2, 0, entry.Length), entry.Values.narrow(2, 0, entry.Length));
    }

    /// <summary>As <see cref="Update"/>, for who writes the keys and values himself: into the slots from Length on.</summary>
    /// <returns>All slots, filled and free: [batch, heads, capacity, headDim], contiguous.</returns>
    internal (Tensor Keys, Tensor Values) Reserve(int layer, long batch, long kvHeads, long seqLen, long headDim, ScalarType dtype)
    {
        Layer entry = EnsureCapacity(layer, seqLen, capacity => new Layer(Slots(capacity), Slots(capacity)));
        entry.Length = Length + seqLen;
        return (entry.Keys, entry.Values);

        Tensor Slots(long capacity) => empty([batch, kvHeads, capacity, headDim], dtype).DetachFromDisposeScope();
    }

    /// <summary>Ends a pass: its tokens are now cached ones.</summary>
    public void Advance(long tokens) => Length += tokens;

    /// <summary>Forgets the last tokens: they are to come again.</summary>
    public void Rewind(long tokens) => Length -= tokens;

    /// <summary>Forgets all tokens.</summary>
    public void Clear()
    {
        Dispose();
        Length = 0;
    }

    /// <summary>Keeps these rows, in this order: finished rows leave the batch.</summary>
    /// <param name="rows">[kept] int64</param>
    public void SelectRows(Tensor rows)
    {
        foreach (Layer? layer in _layers) layer?.Replace(t => t.index_select(0, rows.to(t.device)));
    }

    public void Dispose()
    {
        for (int i = 0; i < _layers.Length; i++)
        {
            _layers[i]?.Dispose();
            _layers[i] = null;
        }
    }

    /// <summary>A layer's entry with slots for this pass's tokens behind those of earlier passes.</summary>
    private Layer EnsureCapacity(int layer, long seqLen, Func<long, Layer> create)
    {
        Layer entry = _layers[layer] ??= create(GrowCapacity(seqLen, InitialCapacity));
        if (entry.Length < Length) throw MissingTokens(layer, entry.Length); // more is left from a pass that was stopped: overwritten
        if (Length + seqLen > entry.Keys.size(2)) entry.Grow(Length, GrowCapacity(Length + seqLen, entry.Keys.size(2)));
        return entry;
    }

    private static long GrowCapacity(long needed, long capacity)
    {
        while (capacity < needed) capacity *= 2;
        return capacity;
    }

    private Exception MissingTokens(int layer, long length) => Errors.CreateException(ErrorCode.Unsupported,
        $"Layer {layer} did not run in an earlier step, so its cache has {length} of {Length} tokens.",
        "Skip the layer's attention at every step, or at none.");

    private sealed class Layer(Tensor keys, Tensor values) : IDisposable
    {
        public Tensor Keys { get; private set; } = keys;

        public Tensor Values { get; private set; } = values;

        /// <summary>Filled slots.</summary>
        public long Length { get; set; }

        public void Grow(long length, long capacity) => Replace(old =>
        {
            Tensor grown = NewSlots(old, capacity);                            // [batch, heads, capacity, headDim]
            using Tensor filled = old.narrow(2, 0, length);                 // [batch, heads, length, headDim]
            using Tensor target = grown.narrow(2, 0, length);               // [batch, heads, length, headDim]
            target.copy_(filled);
            return grown;
        });

        public void Replace(Func<Tensor, Tensor> change)
        {
            using var nothing = no_grad();
            Keys = Transform(Keys, change);
            Values = Transform(Values, change);
        }

        public void Dispose()
        {
            Keys.Dispose();
            Values.Dispose();
        }

        private static Tensor Transform(Tensor old, Func<Tensor, Tensor> change)
        {
            Tensor changed = change(old).DetachFromDisposeScope();
            old.Dispose();
            return changed;
        }

        /// <summary>[batch, heads, capacity, headDim] as a tensor with other slots.</summary>
        public static Tensor NewSlots(Tensor like, long capacity) =>
            empty([like.size(0), like.size(1), capacity, like.size(3)], like.dtype, like.device).DetachFromDisposeScope();
    }
}
