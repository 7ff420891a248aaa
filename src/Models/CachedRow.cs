using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models;

/// <summary>
/// What one row keeps of its earlier tokens: for each layer keys and values, [kvHeads, capacity, headDim], of which the first
/// <see cref="Length"/> slots are filled, or states (<see cref="CachedStates"/>), or both. The capacity doubles when it is used up. The
/// tensors belong to no dispose scope.
/// </summary>
internal sealed class CachedRow(int numLayers, long initialCapacity = CachedRow.InitialCapacity) : IDisposable
{
    public const long InitialCapacity = 64;

    private readonly Layer?[] _layers = new Layer?[numLayers];
    private readonly CachedStates?[] _states = new CachedStates?[numLayers];

    /// <summary>What the row keeps of the encoder's tokens; empty without an encoder.</summary>
    public CachedEncoderTokens Encoder { get; private init; } = new(numLayers);

    /// <summary>The number of cached tokens, with the padding of the pass over the prompts.</summary>
    public long Length { get; set; }

    public long ByteCount => _layers.Sum(layer => layer is null ? 0
        : layer.Keys.NumberOfElements * layer.Keys.ElementSize + layer.Values.NumberOfElements * layer.Values.ElementSize) + StateByteCount;

    /// <summary>The memory of the states and of the encoder's tokens, which does not grow with the tokens, in bytes.</summary>
    public long StateByteCount => _states.Sum(states => states?.ByteCount ?? 0) + Encoder.ByteCount;

    /// <summary>All slots of a layer, filled and free: [kvHeads, capacity, headDim].</summary>
    public Tensor Keys(int layer) => _layers[layer]!.Keys;

    /// <inheritdoc cref="Keys"/>
    public Tensor Values(int layer) => _layers[layer]!.Values;

    /// <summary>The addresses of the slots of a layer on the CPU, and their number in each head.</summary>
    public (nint Keys, nint Values, long Capacity) Addresses(int layer) =>
        (_layers[layer]!.KeysAddress, _layers[layer]!.ValuesAddress, _layers[layer]!.Capacity);

    /// <summary>Whether a layer has the keys and values, or the states, of all tokens.</summary>
    public bool IsFilled(int layer) =>
        (_layers[layer] is { } entry && entry.Length >= Length) || (_states[layer] is { } states && states.Length >= Length);

    /// <summary>The states of a layer after the cached tokens; null before the first pass.</summary>
    /// <exception cref="NdifException">UNSUPPORTED: the layer did not run in an earlier pass, so its states are missing.</exception>
    public Tensor? State(int layer, int index)
    {
        long length = _states[layer]?.Length ?? 0;
        if (length < Length) throw MissedLayer(layer, length);
        return _states[layer]?[index];
    }

    /// <summary>Sets a state of a layer after the tokens of this pass, which counts when the pass ends (<see cref="Advance"/>).</summary>
    public void SetState(int layer, int index, Tensor value) => (_states[layer] ??= new CachedStates()).Set(index, value);

    /// <summary>Ends a pass: its tokens now count as cached.</summary>
    public void Advance(long tokens)
    {
        Length += tokens;
        foreach (CachedStates? states in _states) states?.Commit(Length);
    }

    /// <summary>Writes the keys and values of this pass after the cached ones.</summary>
    /// <param name="key">[kvHeads, seq, headDim]</param>
    /// <param name="value">[kvHeads, seq, headDim]</param>
    public void Append(int layer, Tensor key, Tensor value)
    {
        long seqLen = key.size(1);
        Reserve(layer, seqLen, (key.size(0), key.size(2)), (value.size(0), value.size(2)), key.dtype, value.dtype, key.device);
        using Tensor keySlots = Keys(layer).narrow(1, Length, seqLen), valueSlots = Values(layer).narrow(1, Length, seqLen);
        keySlots.copy_(key);
        valueSlots.copy_(value);
    }

    /// <summary>Ensures that a layer has free slots for the tokens of this pass, and counts them as filled by it.</summary>
    /// <param name="keySize">kvHeads and headDim of the keys.</param>
    /// <param name="valueSize">kvHeads and headDim of the values.</param>
    /// <exception cref="NdifException">
    /// UNSUPPORTED: the layer did not run in an earlier pass, so its keys and values are missing.
    /// </exception>
    public void Reserve(
        int layer, long seqLen, (long Heads, long Dim) keySize, (long Heads, long Dim) valueSize, ScalarType keyType, ScalarType valueType,
        Device device)
    {
        long needed = Length + seqLen, capacity = GrowCapacity(seqLen, initialCapacity);
        Layer entry = _layers[layer] ??= new Layer(
            [keySize.Heads, capacity, keySize.Dim], [valueSize.Heads, capacity, valueSize.Dim], keyType, valueType, device);
        // a longer entry is left from a pass that was stopped; it is overwritten
        if (entry.Length < Length) throw MissedLayer(layer, entry.Length);
        if (entry.Keys.size(0) != keySize.Heads || entry.Keys.size(2) != keySize.Dim || entry.Values.size(2) != valueSize.Dim
            || entry.Keys.dtype != keyType || entry.Values.dtype != valueType)
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
        var entry = new Layer([key.size(0), capacity, key.size(2)], [value.size(0), capacity, value.size(2)], key.dtype, value.dtype,
            key.device) { Length = firstSlot + length };
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
        var clone = new CachedRow(numLayers, initialCapacity) { Length = Length, Encoder = Encoder.Clone() };
        for (int i = 0; i < numLayers; i++)
        {
            clone._layers[i] = _layers[i] is { } layer ? layer.Copy(Length, layer.Capacity) : null;
            clone._states[i] = _states[i]?.Clone();
        }
        return clone;
    }

    public void Dispose()
    {
        foreach (Layer? layer in _layers) layer?.Dispose();
        foreach (CachedStates? states in _states) states?.Dispose();
        Encoder.Dispose();
        Array.Clear(_layers);
        Array.Clear(_states);
    }

    /// <summary>The capacity for a number of tokens: the last one, doubled until they fit.</summary>
    public static long GrowCapacity(long needed, long capacity = InitialCapacity)
    {
        while (capacity < needed) capacity *= 2;
        return capacity;
    }

    public Exception MissedLayer(int layer, long length) => Errors.CreateException(ErrorCode.Unsupported,
        $"Layer {layer} did not run in an earlier step, so its cache has {length} of {Length} tokens.",
        "Skip the layer's attention at every step, or at none.");

    private sealed class Layer : IDisposable
    {
        /// <param name="keyShape">[kvHeads, capacity, headDim]</param>
        /// <param name="valueShape">[kvHeads, capacity, headDim]; the last may differ from that of the keys.</param>
        public Layer(long[] keyShape, long[] valueShape, ScalarType keyType, ScalarType valueType, Device device)
        {
            Keys = empty(keyShape, keyType, device).DetachFromDisposeScope();
            Values = empty(valueShape, valueType, device).DetachFromDisposeScope();
            Capacity = keyShape[1];
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
            var copy = new Layer([Keys.size(0), capacity, Keys.size(2)], [Values.size(0), capacity, Values.size(2)],
                Keys.dtype, Values.dtype, Keys.device) { Length = Length };
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
