using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>
/// The input of the model for the rows of all invokes of all jobs: padded on the left, with attention mask and position ids, so that a
/// row gives the same values as it does alone.
/// <code>
///   ids        0 0 0 a b c      mask  0 0 0 1 1 1      positions  0 0 0 0 1 2
///              d e f g h i            1 1 1 1 1 1                 0 1 2 3 4 5
/// </code>
/// </summary>
internal sealed class TokenBatch : IDisposable
{
    /// <summary>Token ids and attention mask of each row, for all tokens so far: [kvSeq].</summary>
    private readonly List<long[]> _tokens, _masks;

    private readonly torch.Device _device;

    /// <param name="padTokenId">The token before a shorter row.</param>
    public TokenBatch(IReadOnlyList<InputRow> rows, torch.Device device, long padTokenId = 0)
    {
        _device = device;
        int length = rows.Max(r => r.InputIds.Length);
        _masks = [.. rows.Select(r => PadLeft(r.AttentionMask ?? Ones(r.InputIds.Length), 0, length))];
        _tokens = [.. rows.Select(r => PadLeft(r.InputIds, padTokenId, length))];
        InputIds = NewTensor(_tokens);
        AttentionMask = NewTensor(_masks);
        PositionIds = NewTensor([.. _masks.Select(PositionIdsOf)]);
    }

    /// <summary>The tokens of each row so far, with padding and those of the next pass.</summary>
    public int Length => _tokens[0].Length;

    /// <summary>The token ids of the next pass: [batch, seq] int64.</summary>
    public torch.Tensor InputIds { get; private set; }

    /// <summary>1 for a token, 0 for padding: [batch, kvSeq] int64.</summary>
    public torch.Tensor AttentionMask { get; private set; }

    /// <summary>The positions of the tokens of the next pass, padding not counted: [batch, seq] int64.</summary>
    public torch.Tensor PositionIds { get; private set; }

    /// <summary>Makes the selected tokens the input of the next pass.</summary>
    public void AppendTokens(IReadOnlyList<long> nextTokens)
    {
        for (int row = 0; row < nextTokens.Count; row++)
            (_tokens[row], _masks[row]) = ([.. _tokens[row], nextTokens[row]], [.. _masks[row], 1]);
        ReplaceWithLastTokens();
    }

    /// <summary>Adds the rows of another batch after those of this one. In both, the next pass has one token of each row.</summary>
    public void Append(TokenBatch other)
    {
        int length = Math.Max(Length, other.Length);
        for (int row = 0; row < _tokens.Count; row++)
            (_tokens[row], _masks[row]) = (PadLeft(_tokens[row], 0, length), PadLeft(_masks[row], 0, length));
        _tokens.AddRange(other._tokens.Select(tokens => PadLeft(tokens, 0, length)));
        _masks.AddRange(other._masks.Select(mask => PadLeft(mask, 0, length)));
        ReplaceWithLastTokens();
    }

    /// <summary>Selects rows, in this order; a row may occur several times.</summary>
    public void SelectRows(IReadOnlyList<int> rows)
    {
        List<long[]> tokens = [.. rows.Select(r => _tokens[r])], masks = [.. rows.Select(r => _masks[r])];
        for (int row = 0; row < rows.Count; row++) (_tokens[row], _masks[row]) = (tokens[row], masks[row]);
        _tokens.RemoveRange(rows.Count, _tokens.Count - rows.Count);
        _masks.RemoveRange(rows.Count, _masks.Count - rows.Count);
        ReplaceWithLastTokens();
    }

    /// <summary>The rows that have just grown past a length.</summary>
    public int[] RowsPastLength(long length) => [.. Enumerable.Range(0, _masks.Count).Where(row => _masks[row].Sum() == length + 1)];

    /// <summary>
    /// The ids, mask and positions of all tokens of some rows so far, including those of the next pass: each [rows, kvSeq] int64.
    /// </summary>
    public (torch.Tensor Ids, torch.Tensor Mask, torch.Tensor Positions) FullSequences(int[] rows) => (
        NewTensor([.. rows.Select(row => _tokens[row])]), NewTensor([.. rows.Select(row => _masks[row])]),
        NewTensor([.. rows.Select(row => PositionIdsOf(_masks[row]))]));

    public void Dispose()
    {
        InputIds.Dispose();
        AttentionMask.Dispose();
        PositionIds.Dispose();
    }

    private void ReplaceWithLastTokens()
    {
        Dispose();
        (InputIds, AttentionMask, PositionIds) = (NewTensor([.. _tokens.Select(row => (long[])[row[^1]])]), NewTensor(_masks),
            NewTensor([.. _masks.Select(mask => (long[])[mask.Sum() - 1])]));
    }

    private static long[] PadLeft(long[] row, long value, int length) => row.Length == length ? row
        : [.. Enumerable.Repeat(value, length - row.Length), .. row];

    private static long[] PositionIdsOf(long[] mask)
    {
        var positions = new long[mask.Length];
        long next = 0;
        for (int i = 0; i < mask.Length; i++) positions[i] = mask[i] == 0 ? Math.Max(0, next - 1) : next++;
        return positions;
    }

    private static long[] Ones(int count) => [.. Enumerable.Repeat(1L, count)];

    private torch.Tensor NewTensor(List<long[]> rows) =>
        torch.tensor(rows.SelectMany(r => r).ToArray(), [rows.Count, rows[0].Length], dtype: torch.ScalarType.Int64, device: _device)
            .DetachFromDisposeScope();
}
