using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>
/// The input of the model for the rows of all invokes of all jobs: padded on the left, with attention mask and position ids, so that a
/// row gives the same values as it does alone.
/// <code>
///   ids        0 0 0 a b c      mask  0 0 0 1 1 1      positions  0 0 0 0 1 2
///              d e f g h i            1 1 1 1 1 1                 0 1 2 3 4 5
/// </code>
/// A model of <see cref="PreTrainedModel.PadsRight"/> has the padding on the right.
/// </summary>
internal sealed class TokenBatch : IDisposable
{
    private readonly List<Row> _rows;
    private readonly torch.Device _device;
    private readonly long _padTokenId;
    private readonly bool _padsRight;

    /// <param name="padTokenId">The token of the padding.</param>
    /// <param name="padsRight">Whether the padding of a shorter row is after it. Such a batch has one pass.</param>
    /// <param name="hasTokenTypes">Whether the model has types of tokens.</param>
    public TokenBatch(IReadOnlyList<InputRow> rows, torch.Device device, long padTokenId = 0, bool padsRight = false,
        bool hasTokenTypes = false)
    {
        (_device, _padTokenId, _padsRight) = (device, padTokenId, padsRight);
        _rows = [.. rows.Select(row => new Row(row))];
        Length = _rows.Max(row => row.Length);
        (InputIds, AttentionMask, PositionIds) = NewTensors(_rows, Length);
        if (hasTokenTypes) TokenTypeIds = NewTokenTypeIds(rows);
    }

    /// <summary>The tokens of the longest row so far, with those of the next pass.</summary>
    public int Length { get; private set; }

    /// <summary>The token ids of the next pass: [batch, seq] int64.</summary>
    public torch.Tensor InputIds { get; private set; }

    /// <summary>1 for a token, 0 for padding: [batch, kvSeq] int64.</summary>
    public torch.Tensor AttentionMask { get; private set; }

    /// <summary>The positions of the tokens of the next pass, padding not counted: [batch, seq] int64.</summary>
    public torch.Tensor PositionIds { get; private set; }

    /// <summary>The text of a pair that a token belongs to: [batch, seq] int64; null if the model has no types.</summary>
    public torch.Tensor? TokenTypeIds { get; }

    /// <summary>The largest of <see cref="PositionIds"/>.</summary>
    public long MaxPosition => _rows.Max(row => row.Position);

    /// <summary>Appends the selected tokens, one to each row.</summary>
    public void AppendTokens(IReadOnlyList<long> nextTokens)
    {
        for (int row = 0; row < nextTokens.Count; row++) _rows[row].Append(nextTokens[row]);
    }

    /// <summary>Adds the rows of another batch after those of this one.</summary>
    public void Append(TokenBatch other) => _rows.AddRange(other._rows);

    /// <summary>Selects rows, in this order; a row may occur several times.</summary>
    public void SelectRows(IReadOnlyList<int> rows)
    {
        HashSet<Row> taken = [];
        List<Row> selected = [.. rows.Select(row => taken.Add(_rows[row]) ? _rows[row] : _rows[row].Clone())];
        _rows.Clear();
        _rows.AddRange(selected);
    }

    /// <summary>Makes the last token of each row the input of the next pass.</summary>
    public void PrepareStep()
    {
        Dispose();
        Length = _rows.Max(row => row.Length);
        (InputIds, AttentionMask, PositionIds) = NewTensors(_rows, 1);
    }

    /// <summary>The rows that have just grown past a length.</summary>
    public int[] RowsPastLength(long length) => [.. Enumerable.Range(0, _rows.Count).Where(row => _rows[row].Position == length)];

    /// <summary>
    /// The ids, mask and positions of all tokens of some rows so far, including those of the next pass: each [rows, kvSeq] int64.
    /// </summary>
    public (torch.Tensor Ids, torch.Tensor Mask, torch.Tensor Positions) FullSequences(int[] rows) =>
        NewTensors([.. rows.Select(row => _rows[row])], Length);

    public void Dispose()
    {
        InputIds.Dispose();
        AttentionMask.Dispose();
        PositionIds.Dispose();
        TokenTypeIds?.Dispose();
    }

    private torch.Tensor NewTokenTypeIds(IReadOnlyList<InputRow> rows)
    {
        torch.Tensor types = NewTensor(rows.Count, Length, out Span<long> elements);
        for (int row = 0; row < rows.Count; row++)
        {
            (long[]? ids, int length) = (rows[row].TokenTypeIds, rows[row].InputIds.Length);
            ids?.CopyTo(elements[(row * Length + FirstColumn(length, Length))..]);
        }
        return ToDevice(types);
    }

    /// <summary>The column of the first token of a row.</summary>
    private int FirstColumn(int rowLength, int columns) => _padsRight ? 0 : columns - rowLength;

    /// <param name="seqLen">The number of last columns that the ids and positions have.</param>
    private (torch.Tensor Ids, torch.Tensor Mask, torch.Tensor Positions) NewTensors(List<Row> rows, int seqLen)
    {
        torch.Tensor ids = NewTensor(seqLen, out Span<long> idRows), mask = NewTensor(Length, out Span<long> maskRows),
            positions = NewTensor(seqLen, out Span<long> positionRows);
        for (int row = 0; row < rows.Count; row++)
        {
            rows[row].CopyTo(idRows.Slice(row * seqLen, seqLen), maskRows.Slice(row * Length, Length),
                positionRows.Slice(row * seqLen, seqLen), _padTokenId, FirstColumn(rows[row].Length, Length));
        }
        return (ToDevice(ids), ToDevice(mask), ToDevice(positions));

        torch.Tensor NewTensor(int columns, out Span<long> elements) => TokenBatch.NewTensor(rows.Count, columns, out elements);
    }

    /// <summary>A tensor [rows, columns] int64 of zeros on the CPU, and its memory.</summary>
    private static unsafe torch.Tensor NewTensor(int rows, int columns, out Span<long> elements)
    {
        torch.Tensor tensor = torch.empty(rows, columns, torch.ScalarType.Int64, torch.CPU).DetachFromDisposeScope();
        elements = new Span<long>((void*)NativeTensor.DataPointer(tensor.Handle), rows * columns);
        elements.Clear();
        return tensor;
    }

    private torch.Tensor ToDevice(torch.Tensor tensor)
    {
        if (_device.type is DeviceType.CPU) return tensor;
        using (tensor) return tensor.to(_device).DetachFromDisposeScope();
    }

    /// <summary>The tokens of one row so far, without the padding that other rows require.</summary>
    private sealed class Row
    {
        private long[] _ids, _mask;

        public Row(InputRow input)
        {
            (_ids, _mask, Length) = (input.InputIds, input.AttentionMask ?? [.. Enumerable.Repeat(1L, input.InputIds.Length)],
                input.InputIds.Length);
            Position = _mask.Sum() - 1;
        }

        private Row(Row row) => (_ids, _mask, Length, Position) = ([.. row._ids], [.. row._mask], row.Length, row.Position);

        public int Length { get; private set; }

        /// <summary>The position of the last token.</summary>
        public long Position { get; private set; }

        public Row Clone() => new(this);

        public void Append(long token)
        {
            if (Length == _ids.Length)
            {
                Array.Resize(ref _ids, 2 * Length);
                Array.Resize(ref _mask, 2 * Length);
            }
            (_ids[Length], _mask[Length]) = (token, 1);
            Length++;
            Position++;
        }

        /// <summary>Writes the row, padded, or its last column if it is the only one.</summary>
        /// <param name="first">The column of the first token.</param>
        public void CopyTo(Span<long> ids, Span<long> mask, Span<long> positions, long padTokenId, int first)
        {
            _mask.AsSpan(0, Length).CopyTo(mask[first..]);
            if (ids.Length == 1)
            {
                (ids[0], positions[0]) = (_ids[Length - 1], Math.Max(0, Position));
                return;
            }
            ids.Fill(padTokenId);
            _ids.AsSpan(0, Length).CopyTo(ids[first..]);
            long next = 0;
            for (int i = 0; i < positions.Length; i++) positions[i] = mask[i] == 0 ? Math.Max(0, next - 1) : next++;
        }
    }
}
