using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// y += x Wᵀ for a weight [outFeatures, inFeatures].
/// 1. The input features are divided into blocks of <see cref="KC"/>, and more than 16 rows of the input into blocks of <see cref="MC"/>.
/// 2. Four rows of the weight are multiplied with the rows of the block (<see cref="FourOutputs"/>), and stay in the first-level cache.
/// 3. A micro-kernel multiplies MR x NR = 4 x 4 rows (or 1 x 4): sixteen vectors of partial sums stay in registers.
/// 4. At the end of a block the partial sums are reduced and added to y.
/// </summary>
/// <remarks>
/// The order of a sum does not depend on the number of rows: sixteen partial sums over up to <see cref="KC"/> input features, which are
/// then reduced and added to y. So a row gives bit for bit the same values alone and in a batch.
/// </remarks>
internal static unsafe class GemmNT
{
    /// <summary>The input features of a block: four rows of the weight fill a third of the first-level cache.</summary>
    internal const int KC = 1024;

    /// <summary>The rows of the input in a block, for many rows: a block of 128 x 1024 stays in the second-level cache.</summary>
    private const int MC = 128;

    /// <summary>Up to this number of rows the weight is read sequentially.</summary>
    private const int MaxStreamedRows = 16;

    /// <param name="x">[batch, inFeatures]; inFeatures is a multiple of 16</param>
    /// <param name="w">[outFeatures, inFeatures]</param>
    /// <param name="y">
    /// [batch, outFeatures] with <paramref name="yStride"/> elements between rows; the columns from <paramref name="first"/> to
    /// <paramref name="last"/> are added to.
    /// </param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyAdd<T>(float* x, byte* w, int rows, int inFeatures, float* y, long yStride, int first, int last)
        where T : IElement
    {
        for (int from = 0; from < rows; from += MC) // 1
        {
            int to = rows <= MaxStreamedRows ? rows : Math.Min(from + MC, rows);
            if (rows <= MaxStreamedRows)
            {
                for (int n = first; n < last; n += 4)
                    for (int k = 0; k < inFeatures; k += KC) FourOutputs(n, k); // 2
            }
            else
            {
                for (int k = 0; k < inFeatures; k += KC)
                    for (int n = first; n < last; n += 4) FourOutputs(n, k);
            }

            void FourOutputs(int n, int k) => GemmNT.FourOutputs<T>(x + k, inFeatures, w + ((long)n * inFeatures + k) * T.Size,
                (long)inFeatures * T.Size, Math.Min(KC, inFeatures - k), y, yStride, n, Math.Min(4, last - n), from, to);
        }
    }

    /// <summary>
    /// Four output features (or the remaining ones) of the rows from <paramref name="from"/> to <paramref name="to"/>, over a block of
    /// input features.
    /// </summary>
    /// <param name="x">The block of the input: [batch, depth] with <paramref name="xStride"/> elements between rows.</param>
    /// <param name="w0">The block of the weight: [columns, depth] with <paramref name="wStride"/> bytes between rows.</param>
    /// <param name="n">The first output feature.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static void FourOutputs<T>(float* x, int xStride, byte* w0, long wStride, int depth, float* y, long yStride, int n,
        int columns, int from, int to) where T : IElement
    {
        byte* w1 = columns > 1 ? w0 + wStride : w0, w2 = columns > 2 ? w0 + 2 * wStride : w0, w3 = columns > 3 ? w0 + 3 * wStride : w0;
        long prefetchBytes = Prefetch.RowGroupsAhead(4 * wStride) * 4 * wStride;
        float* edge = stackalloc float[16];
        for (int m = from; m < to; m += 4)
        {
            float* input = x + (long)m * xStride, sums = y + m * yStride + n;
            int rows = Math.Min(4, to - m);
            // a tile at the edge is computed in a buffer, with its last row or column in place of the missing ones
            float* target = columns == 4 ? sums : edge;
            long targetStride = columns == 4 ? yStride : 4;
            if (columns < 4)
                for (int i = 0; i < rows; i++)
                    for (int j = 0; j < 4; j++) edge[4 * i + j] = j < columns ? sums[i * yStride + j] : 0;
            if (rows == 1) Tile1x4<T>(input, w0, w1, w2, w3, depth, target, m == from);
            else
            {
                // each tile prefetches its share, so that memory is not idle during the later ones
                int tiles = (to - from + 3) / 4, tile = (m - from) / 4;
                Tile4x4<T>(input, input + xStride, rows > 2 ? input + 2L * xStride : input, rows > 3 ? input + 3L * xStride
                    : input, w0, w1, w2, w3, depth, target, targetStride, rows, prefetchBytes, depth / 16 * tile / tiles * 16,
                    depth / 16 * (tile + 1) / tiles * 16);
            }
            if (columns < 4)
                for (int i = 0; i < rows; i++)
                    for (int j = 0; j < columns; j++) sums[i * yStride + j] = edge[4 * i + j];
        }
    }

    /// <param name="prefetchBytes">The distance to the rows of the weight that are prefetched.</param>
    /// <param name="prefetchFrom">The first input feature that is prefetched.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4x4<T>(float* x, float* x1, float* x2, float* x3, byte* w, byte* w1, byte* w2, byte* w3, int depth, float* y,
        long yStride, int rows, long prefetchBytes, int prefetchFrom, int prefetchTo)
        where T : IElement
    {
        Vector512<float> s00 = default, s01 = default, s02 = default, s03 = default, s10 = default, s11 = default, s12 = default,
            s13 = default;
        Vector512<float> s20 = default, s21 = default, s22 = default, s23 = default, s30 = default, s31 = default, s32 = default,
            s33 = default;
        for (int k = 0; k < depth; k += 16)
        {
            int at = k * T.Size;
            if (k >= prefetchFrom && k < prefetchTo && (at & 63) < 16 * T.Size)
                Prefetch.CacheLines(w + at, w1 + at, w2 + at, w3 + at, prefetchBytes);
            Vector512<float> a = T.Load(w + at), b = T.Load(w1 + at), c = T.Load(w2 + at), d = T.Load(w3 + at);
            Vector512<float> v = Vector512.Load(x + k);
            s00 = Vector512.FusedMultiplyAdd(v, a, s00); s01 = Vector512.FusedMultiplyAdd(v, b, s01);
            s02 = Vector512.FusedMultiplyAdd(v, c, s02); s03 = Vector512.FusedMultiplyAdd(v, d, s03);
            v = Vector512.Load(x1 + k);
            s10 = Vector512.FusedMultiplyAdd(v, a, s10); s11 = Vector512.FusedMultiplyAdd(v, b, s11);
            s12 = Vector512.FusedMultiplyAdd(v, c, s12); s13 = Vector512.FusedMultiplyAdd(v, d, s13);
            v = Vector512.Load(x2 + k);
            s20 = Vector512.FusedMultiplyAdd(v, a, s20); s21 = Vector512.FusedMultiplyAdd(v, b, s21);
            s22 = Vector512.FusedMultiplyAdd(v, c, s22); s23 = Vector512.FusedMultiplyAdd(v, d, s23);
            v = Vector512.Load(x3 + k);
            s30 = Vector512.FusedMultiplyAdd(v, a, s30); s31 = Vector512.FusedMultiplyAdd(v, b, s31);
            s32 = Vector512.FusedMultiplyAdd(v, c, s32); s33 = Vector512.FusedMultiplyAdd(v, d, s33);
        }
        if (Avx512F.IsSupported)
        {
            Vector512<float> sums = Combine( // [row, column]
                Combine(FoldRows(s00, s10, s20, s30), FoldRows(s01, s11, s21, s31), 0x44, 0xEE),
                Combine(FoldRows(s02, s12, s22, s32), FoldRows(s03, s13, s23, s33), 0x44, 0xEE), 0x88, 0xDD);
            Vector128.Store(Vector128.Load(y) + sums.GetLower().GetLower(), y);
            Vector128.Store(Vector128.Load(y + yStride) + sums.GetLower().GetUpper(), y + yStride);
            if (rows > 2) Vector128.Store(Vector128.Load(y + 2 * yStride) + sums.GetUpper().GetLower(), y + 2 * yStride);
            if (rows > 3) Vector128.Store(Vector128.Load(y + 3 * yStride) + sums.GetUpper().GetUpper(), y + 3 * yStride);
            return;
        }
        AddSums(y, s00, s01, s02, s03);
        AddSums(y + yStride, s10, s11, s12, s13);
        if (rows > 2) AddSums(y + 2 * yStride, s20, s21, s22, s23);
        if (rows > 3) AddSums(y + 3 * yStride, s30, s31, s32, s33);
    }

    /// <summary>
    /// Folds four vectors to four lanes each, one in each 128-bit lane of the result, in the order of <see cref="Fold"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> FoldRows(Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> d)
    {
        Vector512<float> ab = Avx512F.Shuffle4x128(a, b, 0x44) + Avx512F.Shuffle4x128(a, b, 0xEE),
            cd = Avx512F.Shuffle4x128(c, d, 0x44) + Avx512F.Shuffle4x128(c, d, 0xEE);
        return Avx512F.Shuffle4x128(ab, cd, 0x88) + Avx512F.Shuffle4x128(ab, cd, 0xDD);
    }

    /// <summary>Adds two selections of the elements of two vectors within each 128-bit lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Combine(Vector512<float> a, Vector512<float> b, [ConstantExpected] byte first,
        [ConstantExpected] byte second) => Avx512F.Shuffle(a, b, first) + Avx512F.Shuffle(a, b, second);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile1x4<T>(float* x, byte* w, byte* w1, byte* w2, byte* w3, int depth, float* y, bool prefetch) where T : IElement
    {
        Vector512<float> a = DotProduct<T>(x, w, depth, prefetch), b = DotProduct<T>(x, w1, depth, prefetch),
            c = DotProduct<T>(x, w2, depth, prefetch), d = DotProduct<T>(x, w3, depth, prefetch);
        AddSums(y, a, b, c, d);
    }

    /// <summary>
    /// The dot product with one row of the weight; one row after the other, because the hardware prefetcher follows one stream better
    /// than four.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> DotProduct<T>(float* x, byte* w, int depth, bool prefetch) where T : IElement
    {
        Vector512<float> sum = default;
        int k = 0;
        for (; k + 32 <= depth; k += 32)
        {
            byte* at = w + k * T.Size;
            if (prefetch) Prefetch.CacheLines<T>(at);
            sum = Vector512.FusedMultiplyAdd(Vector512.Load(x + k), T.Load(at), sum);
            sum = Vector512.FusedMultiplyAdd(Vector512.Load(x + k + 16), T.Load(at + 16 * T.Size), sum);
        }
        for (; k < depth; k += 16) sum = Vector512.FusedMultiplyAdd(Vector512.Load(x + k), T.Load(w + k * T.Size), sum);
        return sum;
    }

    /// <summary>
    /// Step 4: reduces each vector and adds it to one of four elements of y. The vectors are folded to four lanes, which are transposed
    /// and added.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void AddSums(float* y, Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> d)
    {
        Vector128<float> p = Fold(a), q = Fold(b), r = Fold(c), t = Fold(d);
        // a02 b02 a13 b13
        Vector128<float> pq = Sse.UnpackLow(p, q) + Sse.UnpackHigh(p, q), rt = Sse.UnpackLow(r, t) + Sse.UnpackHigh(r, t);
        Vector128<float> sums = Sse.MoveLowToHigh(pq, rt) + Sse.MoveHighToLow(rt, pq);
        Vector128.Store(Vector128.Load(y) + sums, y);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Fold(Vector512<float> sums)
    {
        Vector256<float> half = sums.GetLower() + sums.GetUpper();
        return half.GetLower() + half.GetUpper();
    }
}
