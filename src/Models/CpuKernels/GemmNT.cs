using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// y += x Wᵀ for a weight whose rows are outputs. Four rows of the weight are multiplied with four rows of the input at a time: sixteen
/// sums stay in registers, and the four rows of the weight stay in the first cache for the next rows of the input.
/// </summary>
/// <remarks>
/// A sum is made in the same order whatever the number of rows: sixteen partial sums over up to <see cref="KC"/> inputs, which are then
/// added up and added to y. So a row gives the same numbers alone and in company, bit for bit.
/// </remarks>
internal static unsafe class GemmNT
{
    /// <summary>Inputs at a time: four rows of so many fill a third of the first cache.</summary>
    private const int KC = 1024;

    /// <summary>Rows of the input at a time, where there are many: a block of 128 x 1024 stays in the second cache.</summary>
    private const int MC = 128;

    /// <summary>Up to so many rows the weight is read in the order of memory.</summary>
    private const int MaxStreamedRows = 16;

    /// <param name="x">[batch, inFeatures]; inputs is a multiple of 16</param>
    /// <param name="w">[outFeatures, inFeatures]</param>
    /// <param name="y">Rows of stride numbers, of which the columns from first to last are added to.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyAdd<T>(float* x, byte* w, int rows, int inFeatures, float* y, long yStride, int first, int last) where T : IElement
    {
        for (int from = 0; from < rows; from += MC)
        {
            int to = rows <= MaxStreamedRows ? rows : Math.Min(from + MC, rows);
            if (rows <= MaxStreamedRows)
            {
                for (int n = first; n < last; n += 4)
                    for (int k = 0; k < inFeatures; k += KC) FourOutputs<T>(x, w, inFeatures, y, yStride, n, last, from, to, k);
            }
            else
            {
                for (int k = 0; k < inFeatures; k += KC)
                    for (int n = first; n < last; n += 4) FourOutputs<T>(x, w, inFeatures, y, yStride, n, last, from, to, k);
            }
        }
    }

    /// <summary>Four outputs (or what is left of them) for rows of the input, over a part of the inputs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourOutputs<T>(float* x, byte* w, int inFeatures, float* y, long yStride, int n, int last, int from, int to, int k) where T : IElement
    {
        int depth = Math.Min(KC, inFeatures - k), columns = Math.Min(4, last - n);
        byte* at = w + ((long)n * inFeatures + k) * T.Size;
        long next = (long)inFeatures * T.Size;
        byte* w1 = columns > 1 ? at + next : at, w2 = columns > 2 ? at + 2 * next : at, w3 = columns > 3 ? at + 3 * next : at;
        long ahead = Prefetch.RowGroupsAhead(4 * next) * 4 * next;
        float* apart = stackalloc float[16];
        for (int m = from; m < to; m += 4)
        {
            float* own = x + (long)m * inFeatures + k, sums = y + m * yStride + n;
            int rows = Math.Min(4, to - m);
            // a tile that hangs over the edge is computed apart, with its last row or column in place of what is not there
            float* target = columns == 4 ? sums : apart;
            long step = columns == 4 ? yStride : 4;
            if (columns < 4)
                for (int i = 0; i < rows; i++)
                    for (int j = 0; j < 4; j++) apart[4 * i + j] = j < columns ? sums[i * yStride + j] : 0;
            if (rows == 1) Tile1x4<T>(own, at, w1, w2, w3, depth, target, m == from);
            else Tile4x4<T>(own, own + inFeatures, rows > 2 ? own + 2L * inFeatures : own, rows > 3 ? own + 3L * inFeatures : own, at, w1, w2, w3, depth, target, step, rows, m == from ? ahead : 0);
            if (columns < 4)
                for (int i = 0; i < rows; i++)
                    for (int j = 0; j < columns; j++) sums[i * yStride + j] = apart[4 * i + j];
        }
    }

    /// <param name="prefetchBytes">Bytes to the rows of the weight that come next, to be fetched on the way; 0 for none.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4x4<T>(float* x, float* x1, float* x2, float* x3, byte* w, byte* w1, byte* w2, byte* w3, int depth, float* y, long yStride, int rows, long prefetchBytes)
        where T : IElement
    {
        Vector512<float> s00 = default, s01 = default, s02 = default, s03 = default, s10 = default, s11 = default, s12 = default, s13 = default;
        Vector512<float> s20 = default, s21 = default, s22 = default, s23 = default, s30 = default, s31 = default, s32 = default, s33 = default;
        for (int k = 0; k < depth; k += 16)
        {
            int at = k * T.Size;
            if (prefetchBytes != 0 && (T.Size == 4 || (k & 16) == 0)) Prefetch.CacheLines(w + at, w1 + at, w2 + at, w3 + at, prefetchBytes);
            Vector512<float> a = T.Load(w + at), b = T.Load(w1 + at), c = T.Load(w2 + at), d = T.Load(w3 + at);
            Vector512<float> v = Vector512.Load(x + k);
            s00 = Vector512.FusedMultiplyAdd(v, a, s00); s01 = Vector512.FusedMultiplyAdd(v, b, s01); s02 = Vector512.FusedMultiplyAdd(v, c, s02); s03 = Vector512.FusedMultiplyAdd(v, d, s03);
            v = Vector512.Load(x1 + k);
            s10 = Vector512.FusedMultiplyAdd(v, a, s10); s11 = Vector512.FusedMultiplyAdd(v, b, s11); s12 = Vector512.FusedMultiplyAdd(v, c, s12); s13 = Vector512.FusedMultiplyAdd(v, d, s13);
            v = Vector512.Load(x2 + k);
            s20 = Vector512.FusedMultiplyAdd(v, a, s20); s21 = Vector512.FusedMultiplyAdd(v, b, s21); s22 = Vector512.FusedMultiplyAdd(v, c, s22); s23 = Vector512.FusedMultiplyAdd(v, d, s23);
            v = Vector512.Load(x3 + k);
            s30 = Vector512.FusedMultiplyAdd(v, a, s30); s31 = Vector512.FusedMultiplyAdd(v, b, s31); s32 = Vector512.FusedMultiplyAdd(v, c, s32); s33 = Vector512.FusedMultiplyAdd(v, d, s33);
        }
        AddSums(y, s00, s01, s02, s03);
        AddSums(y + yStride, s10, s11, s12, s13);
        if (rows > 2) AddSums(y + 2 * yStride, s20, s21, s22, s23);
        if (rows > 3) AddSums(y + 3 * yStride, s30, s31, s32, s33);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile1x4<T>(float* x, byte* w, byte* w1, byte* w2, byte* w3, int depth, float* y, bool prefetch) where T : IElement
    {
        Vector512<float> a = DotProduct<T>(x, w, depth, prefetch), b = DotProduct<T>(x, w1, depth, prefetch), c = DotProduct<T>(x, w2, depth, prefetch), d = DotProduct<T>(x, w3, depth, prefetch);
        AddSums(y, a, b, c, d);
    }

    /// <summary>One row after the other: the processor reads one stream ahead better than four.</summary>
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

    /// <summary>Adds the sum of each vector to one of four numbers: the vectors are folded to four lanes, and those transposed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddSums(float* y, Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> d)
    {
        Vector128<float> p = Fold(a), q = Fold(b), r = Fold(c), t = Fold(d);
        Vector128<float> pq = Sse.UnpackLow(p, q) + Sse.UnpackHigh(p, q), rt = Sse.UnpackLow(r, t) + Sse.UnpackHigh(r, t); // a02 b02 a13 b13
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
