using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models;

/// <summary>
/// The keys and values of one row: for each layer [kvHeads, capacity, headDim], of which the first <see cref="Length"/> slots are filled.
/// The capacity doubles when it is used up. The tensors belong to no dispose scope.
/// </summary>
internal sealed class CachedRow(int numLayers, long initialCapacity = CachedRow.InitialCapacity) : IDisposable
{
    public const long InitialCapacity = 64;

    private readonly Layer?[] _layers = new Layer?[numLayers];

    /// <summary>The number of cached tokens, with the padding of the pass over the prompts.</summary>
    public long Length { get; set; }

    public long ByteCount => _layers.Sum(layer => layer is null ? 0
        : layer.Keys.NumberOfElements * layer.Keys.ElementSize + layer.Values.NumberOfElements * layer.Values.ElementSize);

    /// <summary>All slots of a layer, filled and free: [kvHeads, capacity, headDim].</summary>
    public Tensor Keys(int layer) => _layers[layer]!.Keys;

    /// <inheritdoc cref="Keys"/>
    public Tensor Values(int layer) => _layers[layer]!.Values;

    /// <summary>The addresses of the slots of a layer on the CPU, and their number in each head.</summary>
    public (nint Keys, nint Values, long Capacity) Addresses(int layer) =>
        (_layers[layer]!.KeysAddress, _layers[layer]!.ValuesAddress, _layers[layer]!.Capacity);

    /// <summary>Whether a layer has the keys and values of all tokens.</summary>
    public bool IsFilled(int layer) => _layers[layer] is { } entry && entry.Length >= Length;

    /// <summary>Writes the keys and values of this pass after the cached ones.</summary>
    /// <param name="key">[kvHeads, seq, headDim]</param>
    /// <param name="value">[kvHeads, seq, headDim]</param>
    public void Append(int layer, Tensor key, Tensor value)
    {
        long seqLen = key.size(1);
        Reserve(layer, key.size(0), seqLen, key.size(2), key.dtype, value.dtype, key.device);
        using Tensor keySlots = Keys(layer).narrow(1, Length, seqLen), valueSlots = Values(layer).narrow(1, Length, seqLen);
        keySlots.copy_(key);
        valueSlots.copy_(value);
    }

    /// <summary>Ensures that a layer has free slots for the tokens of this pass, and counts them as filled by it.</summary>
    /// <exception cref="NdifException">
    /// UNSUPPORTED: the layer did not run in an earlier pass, so its keys and values are missing.
    /// </exception>
    public void Reserve(int layer, long kvHeads, long seqLen, long headDim, ScalarType keyType, ScalarType valueType, Device device)
    {
        long needed = Length + seqLen;
        Layer entry = _layers[layer] ??= new Layer([kvHeads, GrowCapacity(seqLen, initialCapacity), headDim], keyType, valueType, device);
        // a longer entry is left from a pass that was stopped; it is overwritten
        if (entry.Length < Length)
            throw Errors.CreateException(ErrorCode.Unsupported,
                $"Layer {layer} did not run in an earlier step, so its cache has {entry.Length} of {Length} tokens.",
                "Skip the layer's attention at every step, or at none.");
        if (entry.Keys.size(0) != kvHeads || entry.Keys.size(2) != headDim || entry.Keys.dtype != keyType
            || entry.Values.dtype != valueType)
            throw new InvalidOperationException("The cache was filled by another model.");
        if (needed > entry.Capacity)
        {
            _layers[layer] = entry.Copy(Length, GrowCapacity(needed, entry.Capacity));
            entry.Dispose();
        }
        _layers[layer]!.Length = needed;
    }

    /// <summary>The slots of a layer, filled and free, each [kvHeads, capacity, headDim]; null if it has not run.</summary>
    public (Tensor Keys, Tensor Values)? TryGet(int layer) => _layers[layer] is { } entry ? (entry.Keys, entry.Values) : null;

    /// <summary>Writes keys and values that an earlier pass has computed to a layer.</summary>
    /// <param name="firstSlot">The slots before it are padding.</param>
    /// <param name="slotCount">The slots that are filled after the next pass.</param>
    /// <param name="key">[kvHeads, seq, headDim]</param>
    /// <param name="value">[kvHeads, seq, headDim]</param>
    public void Fill(int layer, long firstSlot, long slotCount, Tensor key, Tensor value)
    {
        using var noGrad = no_grad();
        long capacity = GrowCapacity(slotCount, initialCapacity), length = key.size(1);
        var entry = new Layer([key.size(0), capacity, key.size(2)], key.dtype, value.dtype, key.device) { Length = firstSlot + length };
        foreach (var (from, slots) in (ReadOnlySpan<(Tensor, Tensor)>)[(key, entry.Keys), (value, entry.Values)])
        {
            using Tensor padding = slots.narrow(1, 0, firstSlot), target = slots.narrow(1, firstSlot, length); // [kvHeads, seq, headDim]
            if (firstSlot > 0) padding.zero_();
            target.copy_(from);
        }
        _layers[layer] = entry;
    }

    public CachedRow Clone()
    {
        var clone = new CachedRow(numLayers, initialCapacity) { Length = Length };
        for (int i = 0; i < numLayers; i++) clone._layers[i] = _layers[i] is { } layer ? layer.Copy(Length, layer.Capacity) : null;
        return clone;
    }

    public void Dispose()
    {
        foreach (Layer? layer in _layers) layer?.Dispose();
        Array.Clear(_layers);
    }

    /// <summary>The capacity for a number of tokens: the last one, doubled until they fit.</summary>
    public static long GrowCapacity(long needed, long capacity = InitialCapacity)
    {
        while (capacity < needed) capacity *= 2;
        return capacity;
    }

    private sealed class Layer : IDisposable
    {
        /// <param name="shape">[kvHeads, capacity, headDim]</param>
        public Layer(long[] shape, ScalarType keyType, ScalarType valueType, Device device)
        {
            Keys = empty(shape, keyType, device).DetachFromDisposeScope();
            Values = empty(shape, valueType, device).DetachFromDisposeScope();
            Capacity = shape[1];
            if (device.type is TorchSharp.DeviceType.CPU)
                (KeysAddress, ValuesAddress) = (NativeTensor.DataPointer(Keys.Handle), NativeTensor.DataPointer(Values.Handle));
        }

        public Tensor Keys { get; }

        public Tensor Values { get; }

        public nint KeysAddress { get; }

        public nint ValuesAddress { get; }

        public long Capacity { get; }

        /// <summary>The number of filled slots.</summary>
        public long Length { get; set; }

        /// <summary>A layer with the first slots of this one.</summary>
        public Layer Copy(long length, long capacity)
        {
            using var noGrad = no_grad();
            var copy = new Layer([Keys.size(0), capacity, Keys.size(2)], Keys.dtype, Values.dtype, Keys.device)
            {
                Length = Length,
            };
            if (length == 0) return copy;
            foreach (var (from, to) in (ReadOnlySpan<(Tensor, Tensor)>)[(Keys, copy.Keys), (Values, copy.Values)])
            {
                using Tensor filled = from.narrow(1, 0, length), target = to.narrow(1, 0, length); // [kvHeads, length, headDim]
                target.copy_(filled);
            }
            return copy;
        }

        public void Dispose()
        {
            Keys.Dispose();
            Values.Dispose();
        }
    }
}
