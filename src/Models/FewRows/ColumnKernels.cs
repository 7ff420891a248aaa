using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Ndif.Models;

/// <summary>
/// y = x W for a weight whose columns are outputs (GPT-2's Conv1D). Four rows of the weight at a time, in blocks of columns that the first
/// cache holds, are added to the sums of each row of the input.
/// </summary>
internal static unsafe class ColumnKernels
{
    /// <summary>Four rows of so many columns are 32 KB of float32.</summary>
    private const int Block = 2048;

    /// <param name="x">[rows, inputs]; inputs is a multiple of 4</param>
    /// <param name="w">[inputs, outputs]</param>
    /// <param name="bias">[outputs]</param>
    /// <param name="y">[rows, outputs], of which the columns from first to last are written</param>
    public static void Float32(float* x, float* w, float* bias, float* y, int rows, int inputs, int outputs, int first, int last)
    {
        for (int m = 0; m < rows; m++) new ReadOnlySpan<float>(bias + first, last - first).CopyTo(new Span<float>(y + (long)m * outputs + first, last - first));
        for (int from = first; from < last; from += Block)
        {
            int to = Math.Min(from + Block, last);
            for (int k = 0; k < inputs; k += 4)
            {
                float* w0 = w + (long)k * outputs, w1 = w0 + outputs, w2 = w1 + outputs, w3 = w2 + outputs;
                int m = 0;
                for (; m + 2 <= rows; m += 2) // what is loaded of the weight serves two rows
                {
                    float* a = x + (long)m * inputs + k, b = a + inputs, sum = y + (long)m * outputs, other = sum + outputs;
                    Vector512<float> a0 = Vector512.Create(a[0]), a1 = Vector512.Create(a[1]), a2 = Vector512.Create(a[2]), a3 = Vector512.Create(a[3]);
                    Vector512<float> b0 = Vector512.Create(b[0]), b1 = Vector512.Create(b[1]), b2 = Vector512.Create(b[2]), b3 = Vector512.Create(b[3]);
                    int n = from;
                    for (; n + 16 <= to; n += 16)
                    {
                        if (m == 0) Ahead.Fetch(w0 + n, w1 + n, w2 + n, w3 + n, 16L * outputs);
                        Vector512<float> p = Vector512.Load(w0 + n), q = Vector512.Load(w1 + n), r = Vector512.Load(w2 + n), v = Vector512.Load(w3 + n);
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
                        sum[n] = Four(a, w0[n], w1[n], w2[n], w3[n], sum[n]);
                        other[n] = Four(b, w0[n], w1[n], w2[n], w3[n], other[n]);
                    }
                }
                for (; m < rows; m++)
                {
                    float* a = x + (long)m * inputs + k, sum = y + (long)m * outputs;
                    Vector512<float> a0 = Vector512.Create(a[0]), a1 = Vector512.Create(a[1]), a2 = Vector512.Create(a[2]), a3 = Vector512.Create(a[3]);
                    int n = from;
                    for (; n + 16 <= to; n += 16)
                    {
                        if (m == 0) Ahead.Fetch(w0 + n, w1 + n, w2 + n, w3 + n, 16L * outputs);
                        Vector512<float> s = Vector512.FusedMultiplyAdd(a0, Vector512.Load(w0 + n), Vector512.Load(sum + n));
                        s = Vector512.FusedMultiplyAdd(a1, Vector512.Load(w1 + n), s);
                        s = Vector512.FusedMultiplyAdd(a2, Vector512.Load(w2 + n), s);
                        Vector512.Store(Vector512.FusedMultiplyAdd(a3, Vector512.Load(w3 + n), s), sum + n);
                    }
                    for (; n < to; n++) sum[n] = Four(a, w0[n], w1[n], w2[n], w3[n], sum[n]);
                }
            }
        }
    }

    /// <summary>In the order of the vectors, so that a column's sum does not depend on where it stands.</summary>
    private static float Four(float* a, float w0, float w1, float w2, float w3, float sum) =>
        MathF.FusedMultiplyAdd(a[3], w3, MathF.FusedMultiplyAdd(a[2], w2, MathF.FusedMultiplyAdd(a[1], w1, MathF.FusedMultiplyAdd(a[0], w0, sum))));

    /// <summary>The same for bfloat16: the sums of even and odd columns are kept apart in float32, and rounded once at the end.</summary>
    public static void BFloat16(ushort* x, ushort* w, ushort* bias, ushort* y, int rows, int inputs, int outputs, int first, int last)
    {
        int columns = last - first, half = (columns + 1) / 2;
        float* sums = (float*)NativeMemory.AlignedAlloc((nuint)rows * 2 * (nuint)half * sizeof(float), 64);
        try
        {
            for (int m = 0; m < rows; m++)
                for (int n = 0; n < columns; n++) sums[(2L * m + (n & 1)) * half + n / 2] = Half.Float(bias[first + n]);
            for (int from = 0; from < columns; from += 2 * Block)
            {
                int to = Math.Min(from + 2 * Block, columns);
                for (int k = 0; k < inputs; k += 4)
                {
                    ushort* w0 = w + (long)k * outputs + first, w1 = w0 + outputs, w2 = w1 + outputs, w3 = w2 + outputs;
                    for (int m = 0; m < rows; m++)
                    {
                        ushort* a = x + (long)m * inputs + k;
                        float f0 = Half.Float(a[0]), f1 = Half.Float(a[1]), f2 = Half.Float(a[2]), f3 = Half.Float(a[3]);
                        Vector512<float> a0 = Vector512.Create(f0), a1 = Vector512.Create(f1), a2 = Vector512.Create(f2), a3 = Vector512.Create(f3);
                        float* even = sums + 2L * m * half, odd = even + half;
                        int n = from;
                        for (; n + 32 <= to; n += 32)
                        {
                            if (m == 0) Ahead.Fetch(w0 + n, w1 + n, w2 + n, w3 + n, 8L * outputs);
                            Vector512<uint> p = Vector512.Load((uint*)(w0 + n)), q = Vector512.Load((uint*)(w1 + n)), r = Vector512.Load((uint*)(w2 + n)), v = Vector512.Load((uint*)(w3 + n));
                            Vector512<float> s = Vector512.FusedMultiplyAdd(a0, Half.Even(p), Vector512.Load(even + n / 2)), t = Vector512.FusedMultiplyAdd(a0, Half.Odd(p), Vector512.Load(odd + n / 2));
                            s = Vector512.FusedMultiplyAdd(a1, Half.Even(q), s);
                            t = Vector512.FusedMultiplyAdd(a1, Half.Odd(q), t);
                            s = Vector512.FusedMultiplyAdd(a2, Half.Even(r), s);
                            t = Vector512.FusedMultiplyAdd(a2, Half.Odd(r), t);
                            Vector512.Store(Vector512.FusedMultiplyAdd(a3, Half.Even(v), s), even + n / 2);
                            Vector512.Store(Vector512.FusedMultiplyAdd(a3, Half.Odd(v), t), odd + n / 2);
                        }
                        for (; n < to; n++) sums[(2L * m + (n & 1)) * half + n / 2] += f0 * Half.Float(w0[n]) + f1 * Half.Float(w1[n]) + f2 * Half.Float(w2[n]) + f3 * Half.Float(w3[n]);
                    }
                }
            }
            for (int m = 0; m < rows; m++)
                for (int n = 0; n < columns; n++) y[(long)m * outputs + first + n] = Half.Of(sums[(2L * m + (n & 1)) * half + n / 2]);
        }
        finally
        {
            NativeMemory.AlignedFree(sums);
        }
    }
}
