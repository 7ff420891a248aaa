using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// Software prefetch of a weight's later rows while four rows are processed. The hardware prefetcher loses a stream at the end of a
/// page, and rows are shorter than a page: without software prefetch a pass of ten tokens took a fifth longer (benchmark
/// speed.gpt2-small fp32 10 tokens).
/// </summary>
internal static unsafe class Prefetch
{
    /// <summary>The prefetch distance in groups of four rows, chosen so that memory has answered when the rows are needed.</summary>
    /// <param name="bytes">The bytes of a group that are read.</param>
    public static long RowGroupsAhead(long bytes) => Math.Clamp((10 << 10) / Math.Max(bytes, 1), 1, 64);

    /// <param name="bytes">The distance from these four rows to the rows to prefetch.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void CacheLines(void* a, void* b, void* c, void* d, long bytes)
    {
        if (!Sse.IsSupported) return;
        Sse.Prefetch0((byte*)a + bytes);
        Sse.Prefetch0((byte*)b + bytes);
        Sse.Prefetch0((byte*)c + bytes);
        Sse.Prefetch0((byte*)d + bytes);
    }

    /// <summary>Prefetches the cache lines of 32 elements, 16 KB ahead, of a weight that is read sequentially.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void CacheLines<T>(byte* address) where T : IElement
    {
        if (!Sse.IsSupported) return;
        Sse.Prefetch0(address + (16 << 10));
        if (T.Size == 4) Sse.Prefetch0(address + (16 << 10) + 64);
    }
}
