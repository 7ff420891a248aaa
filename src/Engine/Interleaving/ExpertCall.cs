namespace Ndif.Engine.Interleaving;

/// <summary>
/// The tokens that are routed to the expert which the pass is at, of all rows of the batch. The views of an invoke have the tokens of its
/// own rows, without padding, in the order of their rows and positions.
/// </summary>
/// <param name="tokens">Positions in [batch · seq], ascending.</param>
internal sealed class ExpertCall(long[] tokens)
{
    /// <summary>The tokens of all rows, padding included.</summary>
    public long Count => tokens.Length;

    /// <summary>Where the tokens of a slice are among those of the expert, ascending.</summary>
    public long[] PositionsOf(BatchSlice slice) =>
        [.. tokens.Select((token, at) => (token, at)).Where(entry => IsOf(slice, entry.token)).Select(entry => (long)entry.at)];

    /// <summary>The tokens of a slice by their position in the [batch · seq] of its own view.</summary>
    public long[] TokensOf(BatchSlice slice)
    {
        long length = slice.Batch.SequenceLength, padding = PaddingOf(slice);
        return [.. tokens.Where(token => IsOf(slice, token))
            .Select(token => (token / length - slice.Start) * (length - padding) + token % length - slice.FirstOf(padding))];
    }

    private static bool IsOf(BatchSlice slice, long token)
    {
        long row = token / slice.Batch.SequenceLength, position = token % slice.Batch.SequenceLength;
        long padding = PaddingOf(slice), first = slice.FirstOf(padding);
        return row >= slice.Start && row < slice.Start + slice.Count
            && position >= first && position < first + slice.Batch.SequenceLength - padding && !slice.Batch.IsPadding(token);
    }

    private static long PaddingOf(BatchSlice slice) => slice.Batch.IsPrefill ? slice.Padding : 0;
}
