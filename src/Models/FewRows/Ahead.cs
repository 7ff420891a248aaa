using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Ndif.Models;

/// <summary>
/// Asks for the next four rows of a weight while these four are worked on. The processor's own prefetcher loses a stream at the end of
/// a page, and rows are shorter than that: without it a pass of ten tokens took a fifth longer (benchmark speed.gpt2-small fp32 10 tokens).
/// </summary>
internal static unsafe class Ahead
{
    /// <param name="bytes">From these rows to the next four.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Fetch(void* a, void* b, void* c, void* d, long bytes)
    {
        if (!Sse.IsSupported) return;
        Sse.Prefetch0((byte*)a + bytes);
        Sse.Prefetch0((byte*)b + bytes);
        Sse.Prefetch0((byte*)c + bytes);
        Sse.Prefetch0((byte*)d + bytes);
    }
}
