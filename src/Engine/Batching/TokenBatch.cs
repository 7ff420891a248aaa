using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>
/// The rows of all invokes of all owners as one input of the model: padded on the left, with mask and positions, so that a row
/// gives the numbers it would give alone.
/// <code>
///   ids        0 0 0 a b c      mask  0 0 0 1 1 1      positions  0 0 0 0 1 2
///              d e f g h i            1 1 1 1 1 1                 0 1 2 3 4 5
/// </code>
/// </summary>
internal sealed class TokenBatch : IDisposable
{
    private readonly List<long[]> _tokens, _masks; // of all tokens so far
    private readonly torch.Device _device;

    public TokenBatch(IReadOnlyList<TokenRow> rows, torch.Device device)
    {
        _device = device;
        Width = rows.Max(r => r.Ids.Length);
        _masks = [.. rows.Select(r => (long[])[.. new long[Width - r.Ids.Length], .. r.Mask ?? Ones(r.Ids.Length)])];
        _tokens = [.. rows.Select(r => (long[])[.. new long[Width - r.Ids.Length], .. r.Ids])];
        Ids = New(_tokens);
        Mask = New(_masks);
        Positions = New([.. _masks.Select(PositionsOf)]);
    }

    /// <summary>Tokens of the longest row.</summary>
    public int Width { get; }

    /// <summary>[rows, tokens] int64, of the next pass</summary>
    public torch.Tensor Ids { get; private set; }

    /// <summary>[rows, keys] int64</summary>
    public torch.Tensor Mask { get; private set; }

    /// <summary>[rows, tokens] int64, of the next pass</summary>
    public torch.Tensor Positions { get; private set; }

    /// <summary>Makes the chosen tokens the input of the next pass.</summary>
    public void Advance(IReadOnlyList<long> next)
    {
        for (int row = 0; row < next.Count; row++) (_tokens[row], _masks[row]) = ([.. _tokens[row], next[row]], [.. _masks[row], 1]);
        Replace([.. next.Select(id => (long[])[id])], [.. _masks.Select(m => (long[])[m.Sum() - 1])]);
    }

    /// <summary>Keeps these rows.</summary>
    public void Select(IReadOnlyList<int> rows)
    {
        List<long[]> tokens = [.. rows.Select(r => _tokens[r])], masks = [.. rows.Select(r => _masks[r])];
        for (int row = 0; row < rows.Count; row++) (_tokens[row], _masks[row]) = (tokens[row], masks[row]);
        _tokens.RemoveRange(rows.Count, _tokens.Count - rows.Count);
        _masks.RemoveRange(rows.Count, _masks.Count - rows.Count);
    }

    /// <summary>True if a row has just come to have more tokens than so many.</summary>
    public bool Crosses(long length) => _masks.Any(mask => mask.Sum() == length + 1);

    /// <summary>All tokens so far, those of the next pass too: ids and positions, each [rows, keys] int64.</summary>
    public (torch.Tensor Ids, torch.Tensor Positions) Whole() => (New(_tokens), New([.. _masks.Select(PositionsOf)]));

    public void Dispose()
    {
        Ids.Dispose();
        Mask.Dispose();
        Positions.Dispose();
    }

    private void Replace(IReadOnlyList<long[]> ids, IReadOnlyList<long[]> positions)
    {
        Dispose();
        (Ids, Mask, Positions) = (New(ids), New(_masks), New(positions));
    }

    private static long[] PositionsOf(long[] mask)
    {
        var positions = new long[mask.Length];
        long next = 0;
        for (int i = 0; i < mask.Length; i++) positions[i] = mask[i] == 0 ? Math.Max(0, next - 1) : next++;
        return positions;
    }

    private static long[] Ones(int count)
    {
        var ones = new long[count];
        Array.Fill(ones, 1);
        return ones;
    }

    private torch.Tensor New(IReadOnlyList<long[]> rows) =>
        torch.tensor(rows.SelectMany(r => r).ToArray(), [rows.Count, rows[0].Length], dtype: torch.ScalarType.Int64, device: _device).DetachFromDisposeScope();
}
