using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>
/// The keys and values of earlier tokens, the states of layers that keep no keys, and the output of an encoder, so that a generation step
/// computes only the new tokens. Used without autograd.
/// </summary>
/// <remarks>
/// Each row has memory of its own (<see cref="CachedRow"/>), so rows join, leave and grow without a copy of the others. The tokens of all
/// rows end in the same column of the attention mask; a row has no slots for the columns before its first one.
/// <code>
///   columns    0 1 2 3 4 5          slots
///   row 0      . . . a b c          a b c
///   row 1      d e f g h i          d e f g h i
/// </code>
/// </remarks>
public sealed class KeyValueCache(int numLayers) : IDisposable
{
    private readonly List<CachedRow> _rows = [];

    /// <summary>The tokens for which a row reserves memory at first. Default 64.</summary>
    internal long InitialCapacity { get; init; } = CachedRow.InitialCapacity;

    /// <summary>The number of columns of the attention mask that the cached tokens take, padding included.</summary>
    public long Length { get; private set; }

    /// <summary>The memory of the rows, in bytes.</summary>
    public long ByteCount => _rows.Sum(row => row.ByteCount);

    /// <summary>The part of <see cref="ByteCount"/> that does not grow with the tokens.</summary>
    internal long StateByteCount => _rows.Sum(row => row.StateByteCount);

    /// <summary>The tokens for which a row with this number of tokens reserves memory.</summary>
    internal static long CapacityOf(long tokens) => CachedRow.GrowCapacity(tokens);

    /// <summary>Appends the keys and values of this pass in one layer.</summary>
    /// <param name="key">[batch, kvHeads, seq, headDim]</param>
    /// <param name="value">[batch, kvHeads, seq, headDim]</param>
    /// <returns>
    /// The keys and values of all columns, [batch, kvHeads, kvSeq, headDim]: a view of the only row, or a copy in which the columns before
    /// a row are zero.
    /// </returns>
    /// <exception cref="NdifException">
    /// UNSUPPORTED: the layer did not run in an earlier pass, so its keys and values are missing.
    /// </exception>
    public (Tensor Keys, Tensor Values) Update(int layer, Tensor key, Tensor value)
    {
        using var noGrad = no_grad();
        long seqLen = key.size(2);
        EnsureRows(key.size(0));
        for (int row = 0; row < _rows.Count; row++)
            using (Tensor rowKey = key[row], rowValue = value[row]) // [kvHeads, seq, headDim]
                _rows[row].Append(layer, rowKey, rowValue);
        return Length == 0 ? (key, value)
            : (Gather(row => row.Keys(layer), Length + seqLen, key), Gather(row => row.Values(layer), Length + seqLen, value));
    }

    /// <summary>A state of a layer after the cached tokens.</summary>
    /// <param name="index">The number of the state in the layer: 0, 1, ...</param>
    /// <returns>[batch, ...]; null in the first pass.</returns>
    /// <exception cref="NdifException">UNSUPPORTED: the layer did not run in an earlier pass, so its state is missing.</exception>
    public Tensor? State(int layer, int index)
    {
        if (Length == 0) return null;
        using var noGrad = no_grad();
        return stack(_rows.Select(row => row.State(layer, index)
            ?? throw new InvalidOperationException($"Layer {layer} has no state {index}.")));
    }

    /// <summary>Sets a state of a layer after the tokens of this pass.</summary>
    /// <param name="value">[batch, ...]</param>
    public void SetState(int layer, int index, Tensor value)
    {
        EnsureRows(value.size(0));
        for (int row = 0; row < _rows.Count; row++)
            using (Tensor state = value[row]) _rows[row].SetState(layer, index, state);
    }

    /// <summary>
    /// The keys and values of cross attention in a layer, which the first pass has set, [batch, heads, encoderSeq, headDim]: rows with
    /// fewer tokens are padded on the right with zeros. Null in the first pass.
    /// </summary>
    /// <exception cref="NdifException">UNSUPPORTED: the layer did not run in the first pass.</exception>
    public (Tensor Keys, Tensor Values)? CrossAttention(int layer) => Length == 0 ? null
        : (GatherEncoder(CachedEncoderTokens.KeysOf(layer)) ?? throw _rows[0].MissedLayer(layer, 0),
            GatherEncoder(CachedEncoderTokens.ValuesOf(layer))!);

    /// <summary>Sets the keys and values of cross attention in a layer.</summary>
    /// <param name="key">[batch, heads, encoderSeq, headDim]</param>
    /// <param name="value">[batch, heads, encoderSeq, headDim]</param>
    public void SetCrossAttention(int layer, Tensor key, Tensor value)
    {
        SetEncoder(CachedEncoderTokens.KeysOf(layer), key);
        SetEncoder(CachedEncoderTokens.ValuesOf(layer), value);
    }

    /// <summary>
    /// The encoder's output for the rows: hidden states [batch, encoderSeq, hidden] and attention mask [batch, encoderSeq]. Rows with fewer
    /// tokens are padded on the right. Null before the first pass, and for a model without an encoder.
    /// </summary>
    public (Tensor HiddenStates, Tensor AttentionMask)? EncoderOutput()
    {
        using var scope = NewDisposeScope();
        if (GatherEncoder(CachedEncoderTokens.HiddenStatesOf(numLayers)) is not { } hidden) return null;
        Tensor mask = GatherEncoder(CachedEncoderTokens.MaskOf(numLayers))!;                // [batch, 1, encoderSeq]
        return (hidden.squeeze(1).MoveToOuterDisposeScope(), mask.squeeze(1).MoveToOuterDisposeScope());
    }

    /// <summary>Keeps the encoder's output for the next passes.</summary>
    /// <param name="hidden">[batch, encoderSeq, hidden]</param>
    /// <param name="attentionMask">[batch, encoderSeq]: 0 for padding.</param>
    public void SetEncoderOutput(Tensor hidden, Tensor attentionMask)
    {
        using var scope = NewDisposeScope();
        SetEncoder(CachedEncoderTokens.HiddenStatesOf(numLayers), hidden.unsqueeze(1));
        SetEncoder(CachedEncoderTokens.MaskOf(numLayers), attentionMask.unsqueeze(1));
    }

    /// <summary>Reserves slots in each row for the tokens of this pass, for a kernel that writes keys and values itself.</summary>
    internal IReadOnlyList<CachedRow> Reserve(int layer, long batch, long kvHeads, long seqLen, long headDim, ScalarType dtype)
    {
        EnsureRows(batch);
        foreach (CachedRow row in _rows) row.Reserve(layer, seqLen, (kvHeads, headDim), (kvHeads, headDim), dtype, dtype, CPU);
        return _rows;
    }

    /// <summary>Ends a pass: its tokens now count as cached.</summary>
    public void Advance(long tokens)
    {
        Length += tokens;
        foreach (CachedRow row in _rows) row.Advance(tokens);
    }

    /// <summary>Keeps these rows, in this order. A row that occurs several times is copied.</summary>
    public void SelectRows(IReadOnlyList<int> rows)
    {
        var isTaken = new bool[_rows.Count];
        List<CachedRow> selected = new(rows.Count);
        foreach (int row in rows)
        {
            selected.Add(isTaken[row] ? _rows[row].Clone() : _rows[row]);
            isTaken[row] = true;
        }
        for (int row = 0; row < isTaken.Length; row++)
            if (!isTaken[row]) _rows[row].Dispose();
        _rows.Clear();
        _rows.AddRange(selected);
    }

    /// <summary>The slots of a row in a layer, each [kvHeads, capacity, headDim]; null if the layer has not run.</summary>
    internal (Tensor Keys, Tensor Values)? TryGet(int row, int layer) => row < _rows.Count ? _rows[row].TryGet(layer) : null;

    /// <summary>Adds a row that has tokens of its own already (<see cref="CachedRow.Fill"/>).</summary>
    /// <param name="length">The number of its cached tokens.</param>
    internal CachedRow AddRow(long length)
    {
        _rows.Add(new CachedRow(numLayers, InitialCapacity) { Length = length });
        return _rows[^1];
    }

    /// <summary>Sets the number of columns, after rows have joined or left.</summary>
    /// <param name="length">At least the cached tokens of each row that attention may reach.</param>
    internal void SetLength(long length) => Length = length;

    /// <summary>Whether the rows of another cache can be added: each layer has run in both or in neither.</summary>
    internal bool CanAppend(KeyValueCache other) => _rows.Count == 0 || other._rows.Count == 0
        || Enumerable.Range(0, numLayers).All(layer => _rows[0].IsFilled(layer) == other._rows[0].IsFilled(layer)
            && _rows[0].Encoder.IsFilled(layer) == other._rows[0].Encoder.IsFilled(layer));

    /// <summary>Takes over the rows of another cache, after those of this one.</summary>
    internal void Append(KeyValueCache other)
    {
        _rows.AddRange(other._rows);
        other._rows.Clear();
        Length = Math.Max(Length, other.Length);
    }

    /// <summary>Replaces rows by those of another cache, of which the tokens before the next pass are kept.</summary>
    /// <param name="other">The cache of these rows alone, in this order, with at least as many columns.</param>
    internal void ReplaceRows(IReadOnlyList<int> rows, KeyValueCache other)
    {
        for (int i = 0; i < rows.Count; i++)
        {
            _rows[rows[i]].Dispose();
            _rows[rows[i]] = other._rows[i];
            _rows[rows[i]].Length -= other.Length - Length;
        }
        other._rows.Clear();
    }

    public void Dispose()
    {
        foreach (CachedRow row in _rows) row.Dispose();
        _rows.Clear();
    }

    private void EnsureRows(long batch)
    {
        if (_rows.Count == 0 && Length == 0)
            for (long row = 0; row < batch; row++) _rows.Add(new CachedRow(numLayers, InitialCapacity));
        if (_rows.Count != batch) throw new InvalidOperationException($"The cache has {_rows.Count} rows, and the pass {batch}.");
    }

    private void SetEncoder(int index, Tensor value)
    {
        EnsureRows(value.size(0));
        for (int row = 0; row < _rows.Count; row++)
            using (Tensor part = value[row]) _rows[row].Encoder[index] = part;
    }

    /// <summary>
    /// A tensor of the encoder's tokens of all rows, padded with zeros: [batch, ..., encoderSeq, ...]; null if a row has none.
    /// </summary>
    private Tensor? GatherEncoder(int index)
    {
        using var noGrad = no_grad();
        if (_rows.Count == 0 || _rows.Exists(row => row.Encoder[index] is null)) return null;
        if (_rows.Count == 1) return _rows[0].Encoder[index]!.unsqueeze(0);
        Tensor[] parts = [.. _rows.Select(row => row.Encoder[index]!)];
        long longest = parts.Max(part => part.size(1));
        if (Array.TrueForAll(parts, part => part.size(1) == longest)) return stack(parts);
        long[] shape = [parts.Length, .. parts[0].shape];
        shape[2] = longest;
        using var scope = NewDisposeScope();
        Tensor gathered = zeros(shape, parts[0].dtype, parts[0].device);
        for (int row = 0; row < parts.Length; row++) gathered[row].narrow(1, 0, parts[row].size(1)).copy_(parts[row]);
        return gathered.MoveToOuterDisposeScope();
    }

    /// <summary>The last columns of each row's slots, or zeros where a row has none: [batch, kvHeads, kvSeq, headDim].</summary>
    private Tensor Gather(Func<CachedRow, Tensor> slotsOf, long kvSeqLen, Tensor like)
    {
        if (_rows.Count == 1 && _rows[0].Length >= Length)
            using (Tensor view = Last(_rows[0], kvSeqLen)) return view.unsqueeze(0);
        Tensor gathered = empty([_rows.Count, like.size(1), kvSeqLen, like.size(3)], like.dtype, like.device);
        for (int row = 0; row < _rows.Count; row++)
        {
            using var scope = NewDisposeScope();
            long missing = Math.Max(0, Length - _rows[row].Length);
            if (missing > 0) gathered[row].narrow(1, 0, missing).zero_();
            gathered[row].narrow(1, missing, kvSeqLen - missing).copy_(Last(_rows[row], kvSeqLen - missing));
        }
        return gathered;

        // [kvHeads, count, headDim]
        Tensor Last(CachedRow row, long count) => slotsOf(row).narrow(1, row.Length + (kvSeqLen - Length) - count, count);
    }
}
