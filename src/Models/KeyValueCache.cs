using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models;

/// <summary>
/// The keys and values of the tokens so far, per layer, so that a generation step runs the new tokens only. Used without autograd.
/// </summary>
/// <remarks>
/// A layer's tensors are [rows, heads, capacity, width] with the first <see cref="Length"/> slots filled; the capacity doubles when
/// it is used up, so that a step writes its own tokens and copies nothing else. The tensors belong to the cache and to no dispose
/// scope; what <see cref="Update"/> returns are views.
/// </remarks>
public sealed class KeyValueCache : IDisposable
{
    private const long FirstCapacity = 64;

    private readonly Layer?[] _layers;

    public KeyValueCache(int layers) => _layers = new Layer?[layers];

    /// <summary>Tokens in the cache, padding included: how many keys a row attends to beside those of the current pass.</summary>
    public long Length { get; private set; }

    /// <summary>Adds this pass's keys and values of a layer.</summary>
    /// <param name="key">[rows, heads, tokens, width]</param>
    /// <param name="value">[rows, heads, tokens, width]</param>
    /// <returns>Those of all tokens, Length + tokens of them, as views [rows, heads, keys, width].</returns>
    /// <exception cref="NdifException">The layer did not run in an earlier pass, so that its tokens are missing.</exception>
    public (Tensor Keys, Tensor Values) Update(int layer, Tensor key, Tensor value)
    {
        long tokens = key.size(2);
        Layer entry = Room(layer, tokens, capacity => new Layer(Layer.Slots(key, capacity), Layer.Slots(value, capacity)));
        using (no_grad())
        {
            using Tensor keySlots = entry.Keys.narrow(2, Length, tokens);       // [rows, heads, tokens, width]
            using Tensor valueSlots = entry.Values.narrow(2, Length, tokens);   // [rows, heads, tokens, width]
            keySlots.copy_(key);
            valueSlots.copy_(value);
        }
        entry.Length = Length + tokens;
        return (entry.Keys.narrow(2, 0, entry.Length), entry.Values.narrow(2, 0, entry.Length));
    }

    /// <summary>As <see cref="Update"/>, for who writes the keys and values himself: into the slots from Length on.</summary>
    /// <returns>All slots, filled and free: [rows, heads, capacity, width], contiguous.</returns>
    internal (Tensor Keys, Tensor Values) Reserve(int layer, long rows, long heads, long tokens, long width, ScalarType type)
    {
        Layer entry = Room(layer, tokens, capacity => new Layer(Slots(capacity), Slots(capacity)));
        entry.Length = Length + tokens;
        return (entry.Keys, entry.Values);

        Tensor Slots(long capacity) => empty([rows, heads, capacity, width], type).DetachFromDisposeScope();
    }

    /// <summary>Ends a pass: its tokens are now cached ones.</summary>
    public void Advance(long tokens) => Length += tokens;

    /// <summary>Forgets the last tokens: they are to come again.</summary>
    public void Retreat(long tokens) => Length -= tokens;

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
    private Layer Room(int layer, long tokens, Func<long, Layer> create)
    {
        Layer entry = _layers[layer] ??= create(Capacity(tokens, FirstCapacity));
        if (entry.Length < Length) throw Gap(layer, entry.Length); // more is left from a pass that was stopped: overwritten
        if (Length + tokens > entry.Keys.size(2)) entry.Grow(Length, Capacity(Length + tokens, entry.Keys.size(2)));
        return entry;
    }

    private static long Capacity(long needed, long capacity)
    {
        while (capacity < needed) capacity *= 2;
        return capacity;
    }

    private Exception Gap(int layer, long length) => Errors.Throwable(ErrorCode.Unsupported,
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
            Tensor grown = Slots(old, capacity);                            // [rows, heads, capacity, width]
            using Tensor filled = old.narrow(2, 0, length);                 // [rows, heads, length, width]
            using Tensor target = grown.narrow(2, 0, length);               // [rows, heads, length, width]
            target.copy_(filled);
            return grown;
        });

        public void Replace(Func<Tensor, Tensor> change)
        {
            using var nothing = no_grad();
            Keys = Changed(Keys, change);
            Values = Changed(Values, change);
        }

        public void Dispose()
        {
            Keys.Dispose();
            Values.Dispose();
        }

        private static Tensor Changed(Tensor old, Func<Tensor, Tensor> change)
        {
            Tensor changed = change(old).DetachFromDisposeScope();
            old.Dispose();
            return changed;
        }

        /// <summary>[rows, heads, capacity, width] as a tensor with other slots.</summary>
        public static Tensor Slots(Tensor like, long capacity) =>
            empty([like.size(0), like.size(1), capacity, like.size(3)], like.dtype, like.device).DetachFromDisposeScope();
    }
}
