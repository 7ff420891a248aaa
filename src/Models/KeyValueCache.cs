using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models;

/// <summary>
/// The keys and values of earlier tokens, per layer, so that a generation step computes only the new tokens. Used without autograd.
/// </summary>
/// <remarks>
/// The tensors of a layer are [batch, kvHeads, capacity, headDim], of which the first <see cref="Length"/> slots are filled. The
/// capacity doubles when it is used up, so a step writes only its own tokens. The cache owns the tensors, which belong to no dispose
/// scope; <see cref="Update"/> returns views.
/// </remarks>
public sealed class KeyValueCache : IDisposable
{
    private const long InitialCapacity = 64;

    private readonly Layer?[] _layers;

    public KeyValueCache(int numLayers) => _layers = new Layer?[numLayers];

    /// <summary>The number of cached tokens, padding included.</summary>
    public long Length { get; private set; }

    /// <summary>Appends the keys and values of this pass in one layer.</summary>
    /// <param name="key">[batch, kvHeads, seq, headDim]</param>
    /// <param name="value">[batch, kvHeads, seq, headDim]</param>
    /// <returns>The keys and values of all tokens, as views [batch, kvHeads, kvSeq, headDim].</returns>
    /// <exception cref="NdifException">
    /// UNSUPPORTED: the layer did not run in an earlier pass, so its keys and values are missing.
    /// </exception>
    public (Tensor Keys, Tensor Values) Update(int layer, Tensor key, Tensor value)
    {
        long seqLen = key.size(2);
        Layer entry = EnsureCapacity(layer, seqLen, capacity => new Layer(Layer.NewSlots(key, capacity), Layer.NewSlots(value, capacity)));
        using (no_grad())
        {
            using Tensor keySlots = entry.Keys.narrow(2, Length, seqLen);       // [batch, kvHeads, seq, headDim]
            using Tensor valueSlots = entry.Values.narrow(2, Length, seqLen);   // [batch, kvHeads, seq, headDim]
            keySlots.copy_(key);
            valueSlots.copy_(value);
        }
        entry.Length = Length + seqLen;
        return (entry.Keys.narrow(2, 0, entry.Length), entry.Values.narrow(2, 0, entry.Length));
    }

    /// <summary>Reserves slots for a kernel that writes keys and values itself, from slot <see cref="Length"/> on.</summary>
    /// <returns>All slots, filled and free: [batch, kvHeads, capacity, headDim], contiguous.</returns>
    internal (Tensor Keys, Tensor Values) Reserve(int layer, long batch, long kvHeads, long seqLen, long headDim, ScalarType dtype)
    {
        Layer entry = EnsureCapacity(layer, seqLen, capacity => new Layer(Slots(capacity), Slots(capacity)));
        entry.Length = Length + seqLen;
        return (entry.Keys, entry.Values);

        Tensor Slots(long capacity) => empty([batch, kvHeads, capacity, headDim], dtype).DetachFromDisposeScope();
    }

    /// <summary>Ends a pass: its tokens now count as cached.</summary>
    public void Advance(long tokens) => Length += tokens;

    /// <summary>Keeps these rows in this order, when finished rows leave the batch.</summary>
    /// <param name="rows">[kept] int64</param>
    public void SelectRows(Tensor rows)
    {
        foreach (Layer? layer in _layers) layer?.Replace(t => t.index_select(0, rows.to(t.device)));
    }

    /// <summary>Whether the rows of another cache can be added: each layer has run in both or in neither.</summary>
    internal bool CanAppend(KeyValueCache other) =>
        Enumerable.Range(0, _layers.Length).All(i => IsFilled(i) == other.IsFilled(i));

    /// <summary>
    /// Adds the rows of another cache after those of this one. The tokens of all rows end in the same slot; the slots before those of a
    /// shorter cache are zero.
    /// </summary>
    internal void Append(KeyValueCache other)
    {
        long length = Math.Max(Length, other.Length);
        for (int i = 0; i < _layers.Length; i++)
        {
            if (!IsFilled(i)) continue;
            Layer first = _layers[i]!, second = other._layers[i]!;
            long capacity = GrowCapacity(length + 1, Math.Max(first.Keys.size(2), second.Keys.size(2)));
            using var noGrad = no_grad();
            Layer joined = new(Join(first.Keys, second.Keys, capacity), Join(first.Values, second.Values, capacity)) { Length = length };
            first.Dispose();
            _layers[i] = joined;
        }
        Length = length;

        // [batch, kvHeads, capacity, headDim]
        Tensor Join(Tensor own, Tensor others, long capacity)
        {
            using var scope = NewDisposeScope();
            Tensor slots =
                zeros([own.size(0) + others.size(0), own.size(1), capacity, own.size(3)], own.dtype, own.device).DetachFromDisposeScope();
            slots.narrow(0, 0, own.size(0)).narrow(2, length - Length, Length).copy_(own.narrow(2, 0, Length));
            slots.narrow(0, own.size(0), others.size(0)).narrow(2, length - other.Length, other.Length)
                .copy_(others.narrow(2, 0, other.Length));
            return slots;
        }
    }

    /// <summary>Whether a layer has the keys and values of all tokens.</summary>
    private bool IsFilled(int layer) => _layers[layer] is { } entry && entry.Length >= Length;

    /// <summary>Replaces rows by the tokens of another cache.</summary>
    /// <param name="rows">[replaced] int64</param>
    /// <param name="other">The cache of these rows alone, with at least as many tokens.</param>
    internal void ReplaceRows(Tensor rows, KeyValueCache other)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        foreach (var (layer, source) in _layers.Zip(other._layers))
            if (layer is not null && source is not null)
                foreach (var (to, from) in ((Tensor, Tensor)[])[(layer.Keys, source.Keys), (layer.Values, source.Values)])
                    to.narrow(2, 0, Length).index_copy_(0, rows.to(to.device), from.narrow(2, 0, Length));
    }

    public void Dispose()
    {
        for (int i = 0; i < _layers.Length; i++)
        {
            _layers[i]?.Dispose();
            _layers[i] = null;
        }
    }

    /// <summary>The entry of a layer, with free slots for the tokens of this pass.</summary>
    private Layer EnsureCapacity(int layer, long seqLen, Func<long, Layer> create)
    {
        Layer entry = _layers[layer] ??= create(GrowCapacity(seqLen, InitialCapacity));
        // a longer entry is left from a pass that was stopped; it is overwritten
        if (entry.Length < Length) throw MissingTokens(layer, entry.Length);
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

        /// <summary>The number of filled slots.</summary>
        public long Length { get; set; }

        public void Grow(long length, long capacity) => Replace(old =>
        {
            Tensor grown = NewSlots(old, capacity);                            // [batch, kvHeads, capacity, headDim]
            using Tensor filled = old.narrow(2, 0, length);                 // [batch, kvHeads, length, headDim]
            using Tensor target = grown.narrow(2, 0, length);               // [batch, kvHeads, length, headDim]
            target.copy_(filled);
            return grown;
        });

        public void Replace(Func<Tensor, Tensor> change)
        {
            using var noGrad = no_grad();
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

        /// <summary>An empty tensor [batch, kvHeads, capacity, headDim] like <paramref name="like"/> with another capacity.</summary>
        public static Tensor NewSlots(Tensor like, long capacity) =>
            empty([like.size(0), like.size(1), capacity, like.size(3)], like.dtype, like.device).DetachFromDisposeScope();
    }
}
