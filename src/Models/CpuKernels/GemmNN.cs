using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// y += x W for a weight whose columns are outputs (GPT-2's Conv1D). For one or two rows the weight is streamed past their sums, four or
/// eight of its rows at a time. For more, tiles of rows x 32 columns keep their sums in registers while they go down a block of the weight, which
/// for many rows is copied together first.
/// </summary>
/// <remarks>A sum goes down the inputs one by one, however it is computed, so that a row gives the same numbers alone and in company.</remarks>
internal static unsafe class GemmNN
{
    /// <summary>Columns at a time when streaming: four rows of so many are 32 KB of float32.</summary>
    private const int StreamNC = 2048;

    /// <summary>Rows of the weight at a time: for few rows of the input so many columns of them stay in the second cache, while the next come.</summary>
    private const int UnpackedKC = 32;

    /// <summary>For many rows: so many times 32 columns are copied together.</summary>
    private const int PackedKC = 256;

    /// <summary>Up to so many rows of the input copying does not pay.</summary>
    private const int MaxUnpackedRows = 16;

    /// <param name="x">[batch, inFeatures]</param>
    /// <param name="xStride">From one row of it to the next.</param>
    /// <param name="w">[inFeatures, outFeatures]</param>
    /// <param name="y">Rows of stride numbers, of which the columns from first to last are added to.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyAdd<T>(float* x, long xStride, byte* w, int rows, int inFeatures, int outFeatures, float* y, long yStride, int first, int last) where T : IElement
    {
        int whole = first + (last - first) / 32 * 32;
        if (rows <= 2) StreamWeight<T>(x, xStride, w, rows, inFeatures, outFeatures, y, yStride, first, last);
        else if (rows <= MaxUnpackedRows) UnpackedTiles<T>(x, xStride, w, rows, inFeatures, outFeatures, y, yStride, first, whole);
        else PackedPanels<T>(x, xStride, w, rows, inFeatures, outFeatures, y, yStride, first, whole);
        if (rows > 2 && whole < last)
            for (int m = 0; m < rows; m++) StreamWeight<T>(x + m * xStride, xStride, w, 1, inFeatures, outFeatures, y + m * yStride, yStride, whole, last);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void StreamWeight<T>(float* x, long xStride, byte* w, int rows, int inFeatures, int outFeatures, float* y, long yStride, int first, int last) where T : IElement
    {
        long row = (long)outFeatures * T.Size;
        for (int from = first; from < last; from += StreamNC)
        {
            int to = Math.Min(from + StreamNC, last);
            long ahead = Prefetch.RowGroupsAhead(4L * (to - from) * T.Size) * 4 * row;
            int k = 0;
            if (rows == 1)
                for (long far = Prefetch.RowGroupsAhead(8L * (to - from) * T.Size) * 8 * row; k + 8 <= inFeatures; k += 8) EightWeightRows<T>(x + k, w + k * row, row, y, from, to, far);
            for (; k + 4 <= inFeatures; k += 4)
            {
                byte* w0 = w + k * row, w1 = w0 + row, w2 = w1 + row, w3 = w2 + row;
                if (rows == 2)
                {
                    float* a = x + k, b = a + xStride, sum = y, other = y + yStride;
                    Vector512<float> a0 = Vector512.Create(a[0]), a1 = Vector512.Create(a[1]), a2 = Vector512.Create(a[2]), a3 = Vector512.Create(a[3]);
                    Vector512<float> b0 = Vector512.Create(b[0]), b1 = Vector512.Create(b[1]), b2 = Vector512.Create(b[2]), b3 = Vector512.Create(b[3]);
                    int n = from;
                    for (; n + 16 <= to; n += 16)
                    {
                        int at = n * T.Size;
                        if (T.Size == 4 || (n & 16) == 0) Prefetch.CacheLines(w0 + at, w1 + at, w2 + at, w3 + at, ahead);
                        Vector512<float> p = T.Load(w0 + at), q = T.Load(w1 + at), r = T.Load(w2 + at), v = T.Load(w3 + at);
                        Vector512<float> s = Vector512.FusedMultiplyAdd(a0, p, Vector512.Load(sum + n)), t = Vector512.FusedMultiplyAdd(b0, p, Vector512.Load(other + n));
                        s = Vector512.FusedMultiplyAdd(a1, q, s);
                        t = Vector512.FusedMultiplyAdd(b1, q, t);
                        s = Vector512.FusedMultiplyAdd(a2, r, s);
                        t = Vector512.FusedMultiplyAdd(b2, r, t);
                        Vector512.Store(Vector512.FusedMultiplyAdd(a3, v, s), sum + n);
                        Vector512.Store(Vector512.FusedMultiplyAdd(b3, v, t), other + n);
                    }
                    for (; n < to; n++)
                    {
                        sum[n] = FourRows<T>(a, w0, w1, w2, w3, n, sum[n]);
                        other[n] = FourRows<T>(b, w0, w1, w2, w3, n, other[n]);
                    }
                }
                else
                {
                    float* a = x + k;
                    Vector512<float> a0 = Vector512.Create(a[0]), a1 = Vector512.Create(a[1]), a2 = Vector512.Create(a[2]), a3 = Vector512.Create(a[3]);
                    int n = from;
                    for (; n + 16 <= to; n += 16)
                    {
                        int at = n * T.Size;
                        if (T.Size == 4 || (n & 16) == 0) Prefetch.CacheLines(w0 + at, w1 + at, w2 + at, w3 + at, ahead);
                        Vector512<float> s = Vector512.FusedMultiplyAdd(a0, T.Load(w0 + at), Vector512.Load(y + n));
                        s = Vector512.FusedMultiplyAdd(a1, T.Load(w1 + at), s);
                        s = Vector512.FusedMultiplyAdd(a2, T.Load(w2 + at), s);
                        Vector512.Store(Vector512.FusedMultiplyAdd(a3, T.Load(w3 + at), s), y + n);
                    }
                    for (; n < to; n++) y[n] = FourRows<T>(a, w0, w1, w2, w3, n, y[n]);
                }
            }
            for (; k < inFeatures; k++)
                for (int m = 0; m < rows; m++) OneWeightRow<T>(x[m * xStride + k], w + k * row, y + m * yStride, from, to);
        }
    }

    /// <summary>One row of the input past eight rows of the weight: sums are loaded and stored half as often as with four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EightWeightRows<T>(float* a, byte* w, long wStride, float* y, int from, int to, long ahead) where T : IElement
    {
        byte* w1 = w + wStride, w2 = w1 + wStride, w3 = w2 + wStride, w4 = w3 + wStride, w5 = w4 + wStride, w6 = w5 + wStride, w7 = w6 + wStride;
        Vector512<float> a0 = Vector512.Create(a[0]), a1 = Vector512.Create(a[1]), a2 = Vector512.Create(a[2]), a3 = Vector512.Create(a[3]);
        Vector512<float> a4 = Vector512.Create(a[4]), a5 = Vector512.Create(a[5]), a6 = Vector512.Create(a[6]), a7 = Vector512.Create(a[7]);
        int n = from;
        for (; n + 16 <= to; n += 16)
        {
            int at = n * T.Size;
            if (T.Size == 4 || (n & 16) == 0)
            {
                Prefetch.CacheLines(w + at, w1 + at, w2 + at, w3 + at, ahead);
                Prefetch.CacheLines(w4 + at, w5 + at, w6 + at, w7 + at, ahead);
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
        for (; n < to; n++) y[n] = FourRows<T>(a + 4, w4, w5, w6, w7, n, FourRows<T>(a, w, w1, w2, w3, n, y[n]));
    }

    private static void OneWeightRow<T>(float a, byte* w, float* y, int from, int to) where T : IElement
    {
        int n = from;
        for (; n + 16 <= to; n += 16) Vector512.Store(Vector512.FusedMultiplyAdd(Vector512.Create(a), T.Load(w + n * T.Size), Vector512.Load(y + n)), y + n);
        for (; n < to; n++) y[n] = MathF.FusedMultiplyAdd(a, T.LoadScalar(w + n * T.Size), y[n]);
    }

    private static float FourRows<T>(float* a, byte* w0, byte* w1, byte* w2, byte* w3, int n, float sum) where T : IElement
    {
        int at = n * T.Size;
        return MathF.FusedMultiplyAdd(a[3], T.LoadScalar(w3 + at), MathF.FusedMultiplyAdd(a[2], T.LoadScalar(w2 + at),
            MathF.FusedMultiplyAdd(a[1], T.LoadScalar(w1 + at), MathF.FusedMultiplyAdd(a[0], T.LoadScalar(w0 + at), sum))));
    }

    /// <summary>Few rows: each block of the weight is used where it is, while the next one is fetched in the order of memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void UnpackedTiles<T>(float* x, long xStride, byte* w, int rows, int inFeatures, int outFeatures, float* y, long yStride, int first, int last) where T : IElement
    {
        long row = (long)outFeatures * T.Size;
        int width = last - first;
        float* nobodys = stackalloc float[32];
        float* ten = null, sums = null;
        if (rows is > 4 and < 12) // as twelve, of which the last are nothing
        {
            ten = ScratchBuffer.GetFloats(3, 12L * (inFeatures + width));
            sums = ten + 12L * inFeatures;
            for (int m = 0; m < rows; m++) new Span<float>(x + m * xStride, inFeatures).CopyTo(new Span<float>(ten + (long)m * inFeatures, inFeatures));
            new Span<float>(ten + (long)rows * inFeatures, (12 - rows) * inFeatures).Clear();
            for (int m = 0; m < 12; m++)
            {
                if (m < rows) new Span<float>(y + m * yStride + first, width).CopyTo(new Span<float>(sums + (long)m * width, width));
                else new Span<float>(sums + (long)m * width, width).Clear();
            }
        }
        for (int k = 0; k < inFeatures; k += UnpackedKC)
        {
            int depth = Math.Min(UnpackedKC, inFeatures - k), next = Math.Min(UnpackedKC, inFeatures - k - depth);
            for (int n = first; n < last; n += 32)
            {
                byte* at = w + k * row + (long)n * T.Size;
                if (next > 0) PrefetchNextBlock(w + (k + depth) * row + (long)first * T.Size, row, width * T.Size, next, (n - first) / 32, width / 32);
                if (ten is not null)
                {
                    Tile12x32<T>(ten + k, inFeatures, at, row, depth, sums + n - first, width);
                    continue;
                }
                int m = 0;
                for (; m + 12 <= rows; m += 12) Tile12x32<T>(x + m * xStride + k, xStride, at, row, depth, y + m * yStride + n, yStride);
                for (; m < rows; m += 4) TileUpTo4x32<T>(x + m * xStride + k, xStride, rows - m, at, row, depth, y + m * yStride + n, yStride, nobodys);
            }
        }
        for (int m = 0; ten is not null && m < rows; m++) new Span<float>(sums + (long)m * width, width).CopyTo(new Span<float>(y + m * yStride + first, width));
    }

    /// <summary>Fetches one part of so many of the next block: whole rows of it, one after the other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PrefetchNextBlock(byte* block, long wStride, int width, int depth, int share, int shareCount)
    {
        if (!Sse.IsSupported) return;
        int to = depth * (share + 1) / shareCount;
        for (int i = depth * share / shareCount; i < to; i++)
            for (int at = 0; at < width; at += 64) Sse.Prefetch1(block + i * wStride + at);
    }

    /// <summary>Many rows: 32 columns of a block of the weight are copied together, and all rows go over them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackedPanels<T>(float* x, long xStride, byte* w, int rows, int inFeatures, int outFeatures, float* y, long yStride, int first, int last) where T : IElement
    {
        long row = (long)outFeatures * T.Size;
        float* panel = ScratchBuffer.GetFloats(3, PackedKC * 32), nobodys = stackalloc float[32];
        for (int n = first; n < last; n += 32)
        {
            for (int k = 0; k < inFeatures; k += PackedKC)
            {
                int depth = Math.Min(PackedKC, inFeatures - k);
                byte* at = w + k * row + (long)n * T.Size;
                for (int i = 0; i < depth; i++, at += row)
                {
                    Vector512.Store(T.Load(at), panel + 32 * i);
                    Vector512.Store(T.Load(at + 16 * T.Size), panel + 32 * i + 16);
                }
                int m = 0;
                for (; m + 12 <= rows; m += 12) Tile12x32<Float32>(x + m * xStride + k, xStride, (byte*)panel, 32 * sizeof(float), depth, y + m * yStride + n, yStride);
                for (; m < rows; m += 4) TileUpTo4x32<Float32>(x + m * xStride + k, xStride, rows - m, (byte*)panel, 32 * sizeof(float), depth, y + m * yStride + n, yStride, nobodys);
            }
        }
    }

    /// <param name="discarded">Where the sums of rows go that are not there; they repeat the first.</param>
    private static void TileUpTo4x32<T>(float* x, long xStride, int rows, byte* w, long wStride, int depth, float* y, long yStride, float* discarded) where T : IElement =>
        FourRows<T>(x, rows > 1 ? x + xStride : x, rows > 2 ? x + 2 * xStride : x, rows > 3 ? x + 3 * xStride : x, w, wStride, depth,
            y, rows > 1 ? y + yStride : discarded, rows > 2 ? y + 2 * yStride : discarded, rows > 3 ? y + 3 * yStride : discarded);

    /// <summary>Four rows by 32 columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourRows<T>(float* x0, float* x1, float* x2, float* x3, byte* w, long wStride, int depth, float* y0, float* y1, float* y2, float* y3) where T : IElement
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
        Store(y3, d0, d1); // first, because where a row is missing they are nobody's
        Store(y2, c0, c1);
        Store(y1, b0, b1);
        Store(y0, a0, a1);
    }

    /// <summary>Twelve rows by 32 columns: 24 sums, which with what is multiplied fill the registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile12x32<T>(float* x, long xStride, byte* w, long wStride, int depth, float* y, long yStride) where T : IElement
    {
        float* x3 = x + 3 * xStride, x6 = x3 + 3 * xStride, x9 = x6 + 3 * xStride;
        long two = 2 * xStride;
        Vector512<float> a0 = Vector512.Load(y), a1 = Vector512.Load(y + 16), b0 = Vector512.Load(y + yStride), b1 = Vector512.Load(y + yStride + 16);
        Vector512<float> c0 = Vector512.Load(y + 2 * yStride), c1 = Vector512.Load(y + 2 * yStride + 16), d0 = Vector512.Load(y + 3 * yStride), d1 = Vector512.Load(y + 3 * yStride + 16);
        Vector512<float> e0 = Vector512.Load(y + 4 * yStride), e1 = Vector512.Load(y + 4 * yStride + 16), f0 = Vector512.Load(y + 5 * yStride), f1 = Vector512.Load(y + 5 * yStride + 16);
        Vector512<float> g0 = Vector512.Load(y + 6 * yStride), g1 = Vector512.Load(y + 6 * yStride + 16), h0 = Vector512.Load(y + 7 * yStride), h1 = Vector512.Load(y + 7 * yStride + 16);
        Vector512<float> i0 = Vector512.Load(y + 8 * yStride), i1 = Vector512.Load(y + 8 * yStride + 16), j0 = Vector512.Load(y + 9 * yStride), j1 = Vector512.Load(y + 9 * yStride + 16);
        Vector512<float> k0 = Vector512.Load(y + 10 * yStride), k1 = Vector512.Load(y + 10 * yStride + 16), l0 = Vector512.Load(y + 11 * yStride), l1 = Vector512.Load(y + 11 * yStride + 16);
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
