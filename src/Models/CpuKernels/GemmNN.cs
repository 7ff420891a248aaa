using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// y += x W for a weight [inFeatures, outFeatures] (GPT-2's Conv1D).
/// 1. One or two rows: the weight is streamed once past the sums, four or eight of its rows at a time (<see cref="StreamWeight"/>).
/// 2. Up to 16 rows: tiles of MR rows x 32 columns keep their sums in registers over a block of 32 rows of the weight, which is read in
///    place, while the next block is prefetched (<see cref="UnpackedTiles"/>).
/// 3. More rows: 32 columns x 256 rows of the weight are packed into a panel, which all rows of the input use (<see cref="PackedPanels"/>).
/// 4. Columns that do not fill a tile of 32 are computed as in 1, row by row.
/// </summary>
/// <remarks>
/// In every case a sum is accumulated over the input features one by one, so a row gives the same values alone and in a batch.
/// </remarks>
internal static unsafe class GemmNN
{
    /// <summary>
    /// NC of the streaming kernel: the sums of this many columns, and four rows of the weight, stay in the first-level cache (32 KB of
    /// float32).
    /// </summary>
    private const int StreamNC = 2048;

    /// <summary>
    /// KC without packing: a block of this many rows of the weight stays in the second-level cache while the next block is prefetched.
    /// </summary>
    private const int UnpackedKC = 32;

    /// <summary>KC with packing: the depth of a panel of 32 columns.</summary>
    private const int PackedKC = 256;

    /// <summary>Up to this number of rows packing costs more than it saves.</summary>
    private const int MaxUnpackedRows = 16;

    /// <param name="x">[batch, inFeatures]</param>
    /// <param name="xStride">Elements from one row of <paramref name="x"/> to the next.</param>
    /// <param name="w">[inFeatures, outFeatures]</param>
    /// <param name="y">
    /// [batch, outFeatures] with <paramref name="yStride"/> elements between rows; the columns from <paramref name="first"/> to
    /// <paramref name="last"/> are added to.
    /// </param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyAdd<T>(float* x, long xStride, byte* w, int rows, int inFeatures, int outFeatures, float* y, long yStride,
        int first, int last) where T : IElement
    {
        int tileEnd = first + (last - first) / 32 * 32;
        if (rows <= 2) StreamWeight<T>(x, xStride, w, rows, inFeatures, outFeatures, y, yStride, first, last); // 1
        else if (rows <= MaxUnpackedRows) UnpackedTiles<T>(x, xStride, w, rows, inFeatures, outFeatures, y, yStride, first, tileEnd); // 2
        else PackedPanels<T>(x, xStride, w, rows, inFeatures, outFeatures, y, yStride, first, tileEnd); // 3
        if (rows > 2 && tileEnd < last) // 4
            for (int m = 0; m < rows; m++)
                StreamWeight<T>(x + m * xStride, xStride, w, 1, inFeatures, outFeatures, y + m * yStride, yStride, tileEnd, last);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void StreamWeight<T>(float* x, long xStride, byte* w, int rows, int inFeatures, int outFeatures, float* y, long yStride,
        int first, int last) where T : IElement
    {
        long wStride = (long)outFeatures * T.Size;
        for (int from = first; from < last; from += StreamNC)
        {
            int to = Math.Min(from + StreamNC, last);
            long prefetchBytes = Prefetch.RowGroupsAhead(4L * (to - from) * T.Size) * 4 * wStride;
            int k = 0;
            if (rows == 1)
                for (long prefetchBytes8 = Prefetch.RowGroupsAhead(8L * (to - from) * T.Size) * 8 * wStride; k + 8 <= inFeatures; k += 8)
                    EightWeightRows<T>(x + k, w + k * wStride, wStride, y, from, to, prefetchBytes8);
            for (; k + 4 <= inFeatures; k += 4)
            {
                byte* w0 = w + k * wStride, w1 = w0 + wStride, w2 = w1 + wStride, w3 = w2 + wStride;
                if (rows == 2)
                {
                    float* x0 = x + k, x1 = x0 + xStride, sum0 = y, sum1 = y + yStride;
                    Vector512<float> a0 = Vector512.Create(x0[0]), a1 = Vector512.Create(x0[1]), a2 = Vector512.Create(x0[2]),
                        a3 = Vector512.Create(x0[3]);
                    Vector512<float> b0 = Vector512.Create(x1[0]), b1 = Vector512.Create(x1[1]), b2 = Vector512.Create(x1[2]),
                        b3 = Vector512.Create(x1[3]);
                    int n = from;
                    for (; n + 16 <= to; n += 16)
                    {
                        int at = n * T.Size;
                        if (T.Size == 4 || (n & 16) == 0) Prefetch.CacheLines(w0 + at, w1 + at, w2 + at, w3 + at, prefetchBytes);
                        Vector512<float> p = T.Load(w0 + at), q = T.Load(w1 + at), r = T.Load(w2 + at), v = T.Load(w3 + at);
                        Vector512<float> s = Vector512.FusedMultiplyAdd(a0, p, Vector512.Load(sum0 + n)),
                            t = Vector512.FusedMultiplyAdd(b0, p, Vector512.Load(sum1 + n));
                        s = Vector512.FusedMultiplyAdd(a1, q, s);
                        t = Vector512.FusedMultiplyAdd(b1, q, t);
                        s = Vector512.FusedMultiplyAdd(a2, r, s);
                        t = Vector512.FusedMultiplyAdd(b2, r, t);
                        Vector512.Store(Vector512.FusedMultiplyAdd(a3, v, s), sum0 + n);
                        Vector512.Store(Vector512.FusedMultiplyAdd(b3, v, t), sum1 + n);
                    }
                    for (; n < to; n++)
                    {
                        sum0[n] = FourRows<T>(x0, w0, w1, w2, w3, n, sum0[n]);
                        sum1[n] = FourRows<T>(x1, w0, w1, w2, w3, n, sum1[n]);
                    }
                }
                else
                {
                    float* x0 = x + k;
                    Vector512<float> a0 = Vector512.Create(x0[0]), a1 = Vector512.Create(x0[1]), a2 = Vector512.Create(x0[2]),
                        a3 = Vector512.Create(x0[3]);
                    int n = from;
                    for (; n + 16 <= to; n += 16)
                    {
                        int at = n * T.Size;
                        if (T.Size == 4 || (n & 16) == 0) Prefetch.CacheLines(w0 + at, w1 + at, w2 + at, w3 + at, prefetchBytes);
                        Vector512<float> s = Vector512.FusedMultiplyAdd(a0, T.Load(w0 + at), Vector512.Load(y + n));
                        s = Vector512.FusedMultiplyAdd(a1, T.Load(w1 + at), s);
                        s = Vector512.FusedMultiplyAdd(a2, T.Load(w2 + at), s);
                        Vector512.Store(Vector512.FusedMultiplyAdd(a3, T.Load(w3 + at), s), y + n);
                    }
                    for (; n < to; n++) y[n] = FourRows<T>(x0, w0, w1, w2, w3, n, y[n]);
                }
            }
            for (; k < inFeatures; k++)
                for (int m = 0; m < rows; m++) OneWeightRow<T>(x[m * xStride + k], w + k * wStride, y + m * yStride, from, to);
        }
    }

    /// <summary>One row of the input and eight rows of the weight: the sums are loaded and stored half as often as with four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EightWeightRows<T>(float* x, byte* w, long wStride, float* y, int from, int to, long prefetchBytes)
        where T : IElement
    {
        byte* w1 = w + wStride, w2 = w1 + wStride, w3 = w2 + wStride, w4 = w3 + wStride, w5 = w4 + wStride, w6 = w5 + wStride,
            w7 = w6 + wStride;
        Vector512<float> a0 = Vector512.Create(x[0]), a1 = Vector512.Create(x[1]), a2 = Vector512.Create(x[2]), a3 = Vector512.Create(x[3]);
        Vector512<float> a4 = Vector512.Create(x[4]), a5 = Vector512.Create(x[5]), a6 = Vector512.Create(x[6]), a7 = Vector512.Create(x[7]);
        int n = from;
        for (; n + 16 <= to; n += 16)
        {
            int at = n * T.Size;
            if (T.Size == 4 || (n & 16) == 0)
            {
                Prefetch.CacheLines(w + at, w1 + at, w2 + at, w3 + at, prefetchBytes);
                Prefetch.CacheLines(w4 + at, w5 + at, w6 + at, w7 + at, prefetchBytes);
            }
            Vector512<float> s = Vector512.FusedMultiplyAdd(a0, T.Load(w + at), Vector512.Load(y + n));
            s = Vector512.FusedMultiplyAdd(a1, T.Load(w1 + at), s);
            s = Vector512.FusedMultiplyAdd(a2, T.Load(w2 + at), s);
            s = Vector512.FusedMultiplyAdd(a3, T.Load(w3 + at), s);
            s = Vector512.FusedMultiplyAdd(a4, T.Load(w4 + at), s);
            s = Vector512.FusedMultiplyAdd(a5, T.Load(w5 + at), s);
            s = Vector512.FusedMultiplyAdd(a6, T.Load(w6 + at), s);
            Vector512.Store(Vector512.FusedMultiplyAdd(a7, T.Load(w7 + at), s), y + n);
        }
        for (; n < to; n++) y[n] = FourRows<T>(x + 4, w4, w5, w6, w7, n, FourRows<T>(x, w, w1, w2, w3, n, y[n]));
    }

    private static void OneWeightRow<T>(float a, byte* w, float* y, int from, int to) where T : IElement
    {
        int n = from;
        for (; n + 16 <= to; n += 16)
            Vector512.Store(Vector512.FusedMultiplyAdd(Vector512.Create(a), T.Load(w + n * T.Size), Vector512.Load(y + n)), y + n);
        for (; n < to; n++) y[n] = MathF.FusedMultiplyAdd(a, T.LoadScalar(w + n * T.Size), y[n]);
    }

    private static float FourRows<T>(float* a, byte* w0, byte* w1, byte* w2, byte* w3, int n, float sum) where T : IElement
    {
        int at = n * T.Size;
        return MathF.FusedMultiplyAdd(a[3], T.LoadScalar(w3 + at), MathF.FusedMultiplyAdd(a[2], T.LoadScalar(w2 + at),
            MathF.FusedMultiplyAdd(a[1], T.LoadScalar(w1 + at), MathF.FusedMultiplyAdd(a[0], T.LoadScalar(w0 + at), sum))));
    }

    /// <summary>Multiplies tiles with blocks of the weight that are read in place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void UnpackedTiles<T>(float* x, long xStride, byte* w, int rows, int inFeatures, int outFeatures, float* y, long yStride,
        int first, int last) where T : IElement
    {
        long wStride = (long)outFeatures * T.Size;
        int columns = last - first;
        float* discarded = stackalloc float[32];
        float* paddedInput = null, paddedSums = null;
        // copied into a tile of twelve rows, of which the last are zero: one tile of twelve is faster than several of four
        if (rows is > 4 and < 12)
        {
            paddedInput = ScratchBuffer.GetFloats(3, 12L * (inFeatures + columns));
            paddedSums = paddedInput + 12L * inFeatures;
            for (int m = 0; m < rows; m++)
                new Span<float>(x + m * xStride, inFeatures).CopyTo(new Span<float>(paddedInput + (long)m * inFeatures, inFeatures));
            new Span<float>(paddedInput + (long)rows * inFeatures, (12 - rows) * inFeatures).Clear();
            for (int m = 0; m < 12; m++)
            {
                var sums = new Span<float>(paddedSums + (long)m * columns, columns);
                if (m < rows) new Span<float>(y + m * yStride + first, columns).CopyTo(sums);
                else sums.Clear();
            }
        }
        for (int k = 0; k < inFeatures; k += UnpackedKC)
        {
            int depth = Math.Min(UnpackedKC, inFeatures - k), nextDepth = Math.Min(UnpackedKC, inFeatures - k - depth);
            for (int n = first; n < last; n += 32)
            {
                byte* block = w + k * wStride + (long)n * T.Size;
                if (nextDepth > 0)
                    PrefetchNextBlock(w + (k + depth) * wStride + (long)first * T.Size, wStride, columns * T.Size, nextDepth,
                        (n - first) / 32, columns / 32);
                if (paddedInput is not null)
                {
                    Tile12x32<T>(paddedInput + k, inFeatures, block, wStride, depth, paddedSums + n - first, columns);
                    continue;
                }
                int m = 0;
                for (; m + 12 <= rows; m += 12)
                    Tile12x32<T>(x + m * xStride + k, xStride, block, wStride, depth, y + m * yStride + n, yStride);
                for (; m < rows; m += 4)
                    TileUpTo4x32<T>(x + m * xStride + k, xStride, rows - m, block, wStride, depth, y + m * yStride + n, yStride, discarded);
            }
        }
        for (int m = 0; paddedInput is not null && m < rows; m++)
            new Span<float>(paddedSums + (long)m * columns, columns).CopyTo(new Span<float>(y + m * yStride + first, columns));
    }

    /// <summary>Prefetches one of <paramref name="shareCount"/> shares of the next block, row after row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PrefetchNextBlock(byte* block, long wStride, int width, int depth, int share, int shareCount)
    {
        if (!Sse.IsSupported) return;
        int last = depth * (share + 1) / shareCount;
        for (int i = depth * share / shareCount; i < last; i++)
            for (int at = 0; at < width; at += 64) Sse.Prefetch1(block + i * wStride + at);
    }

    /// <summary>Multiplies all rows with one packed panel of the weight after another.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackedPanels<T>(float* x, long xStride, byte* w, int rows, int inFeatures, int outFeatures, float* y, long yStride,
        int first, int last) where T : IElement
    {
        long wStride = (long)outFeatures * T.Size;
        float* panel = ScratchBuffer.GetFloats(3, PackedKC * 32), discarded = stackalloc float[32];
        for (int n = first; n < last; n += 32)
        {
            for (int k = 0; k < inFeatures; k += PackedKC)
            {
                int depth = Math.Min(PackedKC, inFeatures - k);
                byte* source = w + k * wStride + (long)n * T.Size;
                for (int i = 0; i < depth; i++, source += wStride)
                {
                    Vector512.Store(T.Load(source), panel + 32 * i);
                    Vector512.Store(T.Load(source + 16 * T.Size), panel + 32 * i + 16);
                }
                int m = 0;
                for (; m + 12 <= rows; m += 12)
                    Tile12x32<Float32>(x + m * xStride + k, xStride, (byte*)panel, 32 * sizeof(float), depth, y + m * yStride + n, yStride);
                for (; m < rows; m += 4)
                    TileUpTo4x32<Float32>(x + m * xStride + k, xStride, rows - m, (byte*)panel, 32 * sizeof(float), depth,
                        y + m * yStride + n, yStride, discarded);
            }
        }
    }

    /// <param name="discarded">32 elements for the sums of rows that do not exist; these rows repeat the first one.</param>
    private static void TileUpTo4x32<T>(float* x, long xStride, int rows, byte* w, long wStride, int depth, float* y, long yStride,
        float* discarded) where T : IElement =>
        Tile4x32<T>(x, rows > 1 ? x + xStride : x, rows > 2 ? x + 2 * xStride : x, rows > 3 ? x + 3 * xStride : x, w, wStride, depth,
            y, rows > 1 ? y + yStride : discarded, rows > 2 ? y + 2 * yStride : discarded, rows > 3 ? y + 3 * yStride : discarded);

    /// <summary>MR x NR = 4 x 32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4x32<T>(float* x0, float* x1, float* x2, float* x3, byte* w, long wStride, int depth, float* y0, float* y1,
        float* y2, float* y3) where T : IElement
    {
        Vector512<float> a0 = Vector512.Load(y0), a1 = Vector512.Load(y0 + 16), b0 = Vector512.Load(y1), b1 = Vector512.Load(y1 + 16);
        Vector512<float> c0 = Vector512.Load(y2), c1 = Vector512.Load(y2 + 16), d0 = Vector512.Load(y3), d1 = Vector512.Load(y3 + 16);
        for (int k = 0; k < depth; k++, w += wStride)
        {
            Vector512<float> p = T.Load(w), q = T.Load(w + 16 * T.Size), v = Vector512.Create(x0[k]);
            a0 = Vector512.FusedMultiplyAdd(v, p, a0); a1 = Vector512.FusedMultiplyAdd(v, q, a1);
            v = Vector512.Create(x1[k]);
            b0 = Vector512.FusedMultiplyAdd(v, p, b0); b1 = Vector512.FusedMultiplyAdd(v, q, b1);
            v = Vector512.Create(x2[k]);
            c0 = Vector512.FusedMultiplyAdd(v, p, c0); c1 = Vector512.FusedMultiplyAdd(v, q, c1);
            v = Vector512.Create(x3[k]);
            d0 = Vector512.FusedMultiplyAdd(v, p, d0); d1 = Vector512.FusedMultiplyAdd(v, q, d1);
        }
        Store(y3, d0, d1); // the last rows first: where a row is missing, its sums go to the discarded buffer
        Store(y2, c0, c1);
        Store(y1, b0, b1);
        Store(y0, a0, a1);
    }

    /// <summary>
    /// MR x NR = 12 x 32: 24 vectors of sums, which fill the registers together with two vectors of the weight and one of the input.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile12x32<T>(float* x, long xStride, byte* w, long wStride, int depth, float* y, long yStride) where T : IElement
    {
        float* x3 = x + 3 * xStride, x6 = x3 + 3 * xStride, x9 = x6 + 3 * xStride;
        long two = 2 * xStride;
        Vector512<float> a0 = Vector512.Load(y), a1 = Vector512.Load(y + 16), b0 = Vector512.Load(y + yStride),
            b1 = Vector512.Load(y + yStride + 16);
        Vector512<float> c0 = Vector512.Load(y + 2 * yStride), c1 = Vector512.Load(y + 2 * yStride + 16),
            d0 = Vector512.Load(y + 3 * yStride), d1 = Vector512.Load(y + 3 * yStride + 16);
        Vector512<float> e0 = Vector512.Load(y + 4 * yStride), e1 = Vector512.Load(y + 4 * yStride + 16),
            f0 = Vector512.Load(y + 5 * yStride), f1 = Vector512.Load(y + 5 * yStride + 16);
        Vector512<float> g0 = Vector512.Load(y + 6 * yStride), g1 = Vector512.Load(y + 6 * yStride + 16),
            h0 = Vector512.Load(y + 7 * yStride), h1 = Vector512.Load(y + 7 * yStride + 16);
        Vector512<float> i0 = Vector512.Load(y + 8 * yStride), i1 = Vector512.Load(y + 8 * yStride + 16),
            j0 = Vector512.Load(y + 9 * yStride), j1 = Vector512.Load(y + 9 * yStride + 16);
        Vector512<float> k0 = Vector512.Load(y + 10 * yStride), k1 = Vector512.Load(y + 10 * yStride + 16),
            l0 = Vector512.Load(y + 11 * yStride), l1 = Vector512.Load(y + 11 * yStride + 16);
        for (int i = 0; i < depth; i++, w += wStride, x++, x3++, x6++, x9++)
        {
            Vector512<float> p = T.Load(w), q = T.Load(w + 16 * T.Size), v = Vector512.Create(x[0]);
            a0 = Vector512.FusedMultiplyAdd(v, p, a0); a1 = Vector512.FusedMultiplyAdd(v, q, a1);
            v = Vector512.Create(x[xStride]);
            b0 = Vector512.FusedMultiplyAdd(v, p, b0); b1 = Vector512.FusedMultiplyAdd(v, q, b1);
            v = Vector512.Create(x[two]);
            c0 = Vector512.FusedMultiplyAdd(v, p, c0); c1 = Vector512.FusedMultiplyAdd(v, q, c1);
            v = Vector512.Create(x3[0]);
            d0 = Vector512.FusedMultiplyAdd(v, p, d0); d1 = Vector512.FusedMultiplyAdd(v, q, d1);
            v = Vector512.Create(x3[xStride]);
            e0 = Vector512.FusedMultiplyAdd(v, p, e0); e1 = Vector512.FusedMultiplyAdd(v, q, e1);
            v = Vector512.Create(x3[two]);
            f0 = Vector512.FusedMultiplyAdd(v, p, f0); f1 = Vector512.FusedMultiplyAdd(v, q, f1);
            v = Vector512.Create(x6[0]);
            g0 = Vector512.FusedMultiplyAdd(v, p, g0); g1 = Vector512.FusedMultiplyAdd(v, q, g1);
            v = Vector512.Create(x6[xStride]);
            h0 = Vector512.FusedMultiplyAdd(v, p, h0); h1 = Vector512.FusedMultiplyAdd(v, q, h1);
            v = Vector512.Create(x6[two]);
            i0 = Vector512.FusedMultiplyAdd(v, p, i0); i1 = Vector512.FusedMultiplyAdd(v, q, i1);
            v = Vector512.Create(x9[0]);
            j0 = Vector512.FusedMultiplyAdd(v, p, j0); j1 = Vector512.FusedMultiplyAdd(v, q, j1);
            v = Vector512.Create(x9[xStride]);
            k0 = Vector512.FusedMultiplyAdd(v, p, k0); k1 = Vector512.FusedMultiplyAdd(v, q, k1);
            v = Vector512.Create(x9[two]);
            l0 = Vector512.FusedMultiplyAdd(v, p, l0); l1 = Vector512.FusedMultiplyAdd(v, q, l1);
        }
        Store(y, a0, a1); Store(y + yStride, b0, b1); Store(y + 2 * yStride, c0, c1); Store(y + 3 * yStride, d0, d1);
        Store(y + 4 * yStride, e0, e1); Store(y + 5 * yStride, f0, f1); Store(y + 6 * yStride, g0, g1); Store(y + 7 * yStride, h0, h1);
        Store(y + 8 * yStride, i0, i1); Store(y + 9 * yStride, j0, j1); Store(y + 10 * yStride, k0, k1); Store(y + 11 * yStride, l0, l1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* y, Vector512<float> a, Vector512<float> b)
    {
        Vector512.Store(a, y);
        Vector512.Store(b, y + 16);
    }
}
