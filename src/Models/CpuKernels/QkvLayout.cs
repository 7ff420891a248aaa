namespace Ndif.Models.CpuKernels;

/// <summary>The position of each head in the query, key and value projections of one token.</summary>
/// <param name="QueryHeadsPerBlock">
/// The number of query heads that are adjacent before <paramref name="BlockStride"/> elements on the next block begins.
/// </param>
/// <param name="BlockStride">Elements from one block of query heads to the next.</param>
/// <param name="HeadDim">Elements of a head.</param>
/// <param name="FirstKeyOffset">The offset of the first head's key.</param>
/// <param name="FirstValueOffset">The offset of the first head's value.</param>
/// <param name="KvHeadStride">Elements from one key-value head to the next.</param>
/// <param name="Size">Elements of all heads of a token.</param>
internal sealed record QkvLayout(int QueryHeadsPerBlock, long BlockStride, int HeadDim, long FirstKeyOffset, long FirstValueOffset,
    long KvHeadStride, long Size)
{
    /// <summary>[queries of all heads | keys of all heads | values of all heads], as in Llama and GPT-2.</summary>
    public static QkvLayout Separate(int heads, int kvHeads, int headDim) =>
        new(heads, 0, headDim, (long)heads * headDim, ((long)heads + kvHeads) * headDim, headDim, ((long)heads + 2L * kvHeads) * headDim);

    /// <summary>For each head [query | key | value], as in GPT-NeoX and BLOOM.</summary>
    public static QkvLayout InterleavedPerHead(int heads, int headDim) =>
        new(1, 3L * headDim, headDim, headDim, 2L * headDim, 3L * headDim, 3L * heads * headDim);

    /// <summary>For each key-value head [its queries | key | value], as in Falcon.</summary>
    public static QkvLayout InterleavedPerKvHead(int heads, int kvHeads, int headDim)
    {
        int queriesPerKvHead = Math.Max(1, heads / Math.Max(1, kvHeads));
        long blockStride = (queriesPerKvHead + 2L) * headDim;
        return new(queriesPerKvHead, blockStride, headDim, (long)queriesPerKvHead * headDim, (queriesPerKvHead + 1L) * headDim, blockStride,
            kvHeads * blockStride);
    }

    public long QueryOffset(int head) => head / QueryHeadsPerBlock * BlockStride + (long)(head % QueryHeadsPerBlock) * HeadDim;

    public long KeyOffset(int kvHead) => FirstKeyOffset + kvHead * KvHeadStride;

    public long ValueOffset(int kvHead) => FirstValueOffset + kvHead * KvHeadStride;
}
