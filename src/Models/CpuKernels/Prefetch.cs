using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// Asks for rows of a weight that come later while these four are worked on. The processor's own prefetcher loses a stream at the end of
/// a page, and rows are shorter than that: without it a pass of ten tokens took a fifth longer (benchmark speed.gpt2-small fp32 10 tokens).
/// </summary>
internal static unsafe class Prefetch
{
    /// <summary>How many groups of four rows ahead: so far that memory has answered when their turn comes.</summary>
    /// <param name="bytes">Of a group, as far as it is read.</param>
    public static long RowGroupsAhead(long bytes) => Math.Clamp((10 << 10) / Math.Max(bytes, 1), 1, 64);

    /// <param name="bytes">From these rows to those.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void CacheLines(void* a, void* b, void* c, void* d, long bytes)
    {
        if (!Sse.IsSupported) return;
        Sse.Prefetch0((byte*)a + bytes);
        Sse.Prefetch0((byte*)b + bytes);
        Sse.Prefetch0((byte*)c + bytes);
        Sse.Prefetch0((byte*)d + bytes);
    }

    /// <summary>The same for a weight that is read from end to end: what 32 numbers take, 16 KB ahead.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void CacheLines<T>(byte* address) where T : IElement
    {
        if (!Sse.IsSupported) return;
        Sse.Prefetch0(address + (16 << 10));
        if (T.Size == 4) Sse.Prefetch0(address + (16 << 10) + 64);
    }
}
