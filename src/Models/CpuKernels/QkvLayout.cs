namespace Ndif.Models.CpuKernels;

/// <summary>Where heads stand among the numbers that the projections give for one token.</summary>
/// <param name="QueryHeadsPerBlock">Query heads that lie together, before Step numbers on the next come.</param>
/// <param name="HeadDim">Of a head.</param>
/// <param name="FirstKeyOffset">Of the first key-value head.</param>
/// <param name="FirstValueOffset">Of the first key-value head.</param>
/// <param name="KvHeadStride">From one key-value head to the next.</param>
/// <param name="Size">Of all numbers.</param>
internal sealed record QkvLayout(int QueryHeadsPerBlock, long BlockStride, int HeadDim, long FirstKeyOffset, long FirstValueOffset, long KvHeadStride, long Size)
{
    /// <summary>All queries, all keys, all values.</summary>
    public static QkvLayout Separate(int heads, int kvHeads, int headDim) =>
        new(heads, 0, headDim, (long)heads * headDim, ((long)heads + kvHeads) * headDim, headDim, ((long)heads + 2L * kvHeads) * headDim);

    /// <summary>Each head's query, key and value beside each other.</summary>
    public static QkvLayout InterleavedPerHead(int heads, int headDim) => new(1, 3L * headDim, headDim, headDim, 2L * headDim, 3L * headDim, 3L * heads * headDim);

    /// <summary>Each key-value head behind the queries that it serves.</summary>
    public static QkvLayout InterleavedPerKvHead(int heads, int kvHeads, int headDim)
    {
        int share = Math.Max(1, heads / Math.Max(1, kvHeads));
        long step = (share + 2L) * headDim;
        return new(share, step, headDim, (long)share * headDim, (share + 1L) * headDim, step, kvHeads * step);
    }

    public long QueryOffset(int head) => head / QueryHeadsPerBlock * BlockStride + (long)(head % QueryHeadsPerBlock) * HeadDim;

    public long KeyOffset(int kvHead) => FirstKeyOffset + kvHead * KvHeadStride;

    public long ValueOffset(int kvHead) => FirstValueOffset + kvHead * KvHeadStride;
}
