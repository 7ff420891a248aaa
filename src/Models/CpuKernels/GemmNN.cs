using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// y += x W for a weight [inFeatures, outFeatures] (GPT-2's Conv1D) and few rows: the weight is read once, eight of its rows at a time,
/// past the sums of all rows of the input.
/// 1. The output features are divided into blocks of <see cref="NC"/>, whose sums stay in the first-level cache.
/// 2. Sixteen columns of eight rows of the weight are loaded into registers, and those of the next eight rows are prefetched.
/// 3. They are multiplied with eight elements of each row of the input, and added to its sums.
/// </summary>
/// <remarks>
/// A sum is accumulated over the input features one by one, so a row gives the same values alone and in a batch.
/// </remarks>
internal static unsafe class GemmNN
{
    /// <summary>
    /// Columns of a block for many rows, for one row: the sums of sixteen rows take 16 KB, and one row is faster in longer runs.
    /// </summary>
    private const int NC = 256, SingleRowNC = 1024;

    /// <summary>The rows of the weight that are in registers.</summary>
    private const int KR = 8;

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
        long wStride = (long)outFeatures * T.Size;
        int columns = rows == 1 ? SingleRowNC : NC;
        for (int from = first; from < last; from += columns) // 1
        {
            int to = Math.Min(from + columns, last), k = 0;
            long prefetchBytes = Prefetch.RowGroupsAhead((long)KR * (to - from) * T.Size) * KR * wStride;
            for (; k + KR <= inFeatures; k += KR)
                EightWeightRows<T>(x + k, xStride, rows, w + k * wStride, wStride, y, yStride, from, to, prefetchBytes);
            for (; k < inFeatures; k++)
                for (int m = 0; m < rows; m++) OneWeightRow<T>(x[m * xStride + k], w + k * wStride, y + m * yStride, from, to);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EightWeightRows<T>(float* x, long xStride, int rows, byte* w, long wStride, float* y, long yStride, int from,
        int to, long prefetchBytes) where T : IElement
    {
        byte* w1 = w + wStride, w2 = w1 + wStride, w3 = w2 + wStride, w4 = w3 + wStride, w5 = w4 + wStride, w6 = w5 + wStride,
            w7 = w6 + wStride;
        int n = from;
        for (; n + 16 <= to; n += 16)
        {
            int at = n * T.Size;
            if (T.Size == 4 || ((at - from * T.Size) & 63) == 0)
            {
                Prefetch.CacheLines(w + at, w1 + at, w2 + at, w3 + at, prefetchBytes);
                Prefetch.CacheLines(w4 + at, w5 + at, w6 + at, w7 + at, prefetchBytes);
            }
            Vector512<float> a = T.Load(w + at), b = T.Load(w1 + at), c = T.Load(w2 + at), d = T.Load(w3 + at), // 2
                e = T.Load(w4 + at), f = T.Load(w5 + at), g = T.Load(w6 + at), h = T.Load(w7 + at);
            float* input = x, sums = y + n;
            for (int m = 0; m < rows; m++, input += xStride, sums += yStride) // 3
            {
                Vector512<float> sum = Vector512.FusedMultiplyAdd(Vector512.Create(input[0]), a, Vector512.Load(sums));
                sum = Vector512.FusedMultiplyAdd(Vector512.Create(input[1]), b, sum);
                sum = Vector512.FusedMultiplyAdd(Vector512.Create(input[2]), c, sum);
                sum = Vector512.FusedMultiplyAdd(Vector512.Create(input[3]), d, sum);
                sum = Vector512.FusedMultiplyAdd(Vector512.Create(input[4]), e, sum);
                sum = Vector512.FusedMultiplyAdd(Vector512.Create(input[5]), f, sum);
                sum = Vector512.FusedMultiplyAdd(Vector512.Create(input[6]), g, sum);
                Vector512.Store(Vector512.FusedMultiplyAdd(Vector512.Create(input[7]), h, sum), sums);
            }
        }
        if (n < to)
            for (int i = 0; i < KR; i++)
                for (int m = 0; m < rows; m++) OneWeightRow<T>(x[m * xStride + i], w + i * wStride, y + m * yStride, n, to);
    }

    private static void OneWeightRow<T>(float a, byte* w, float* y, int from, int to) where T : IElement
    {
        int n = from;
        for (; n + 16 <= to; n += 16)
            Vector512.Store(Vector512.FusedMultiplyAdd(Vector512.Create(a), T.Load(w + n * T.Size), Vector512.Load(y + n)), y + n);
        for (; n < to; n++) y[n] = MathF.FusedMultiplyAdd(a, T.LoadScalar(w + n * T.Size), y[n]);
    }
}
