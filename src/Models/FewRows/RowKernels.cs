using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Ndif.Models;

/// <summary>
/// y = x Wᵀ for a weight whose rows are outputs. Four rows of the weight at a time are multiplied with up to four rows of the input:
/// sixteen sums stay in registers, and the four rows of the weight stay in the first cache for the next rows of the input.
/// </summary>
internal static unsafe class RowKernels
{
    /// <param name="x">[rows, inputs]</param>
    /// <param name="w">[outputs, inputs]; inputs is a multiple of 32</param>
    /// <param name="bias">[outputs] or null</param>
    /// <param name="y">[rows, outputs], of which the columns from first to last are written</param>
    public static void Float32(float* x, float* w, float* bias, float* y, int rows, int inputs, int outputs, int first, int last)
    {
        int n = first;
        for (; n + 4 <= last; n += 4)
        {
            float* four = w + (long)n * inputs;
            int m = 0;
            for (; m + 4 <= rows; m += 4) FourByFour(x + (long)m * inputs, four, inputs, bias is null ? null : bias + n, y + (long)m * outputs + n, outputs, isFirst: m == 0);
            for (; m < rows; m++) OneByFour(x + (long)m * inputs, four, inputs, bias is null ? null : bias + n, y + (long)m * outputs + n, isFirst: m == 0);
        }
        for (; n < last; n++)
            for (int m = 0; m < rows; m++)
                y[(long)m * outputs + n] = Dot(x + (long)m * inputs, w + (long)n * inputs, inputs) + (bias is null ? 0 : bias[n]);
    }

    /// <summary>The same for bfloat16: a pair of weights is one 32-bit word, whose halves are two numbers after a shift or a mask.</summary>
    public static void BFloat16(ushort* x, ushort* w, ushort* bias, ushort* y, int rows, int inputs, int outputs, int first, int last)
    {
        // the input as float32, numbers at even and odd places apart, as the halves of the weights' words are
        float* apart = (float*)NativeMemory.AlignedAlloc((nuint)rows * (nuint)inputs * sizeof(float), 64);
        try
        {
            int half = inputs / 2;
            for (int m = 0; m < rows; m++)
            {
                for (int i = 0; i < half; i++)
                {
                    apart[(long)m * inputs + i] = Half.Float(x[(long)m * inputs + 2 * i]);
                    apart[(long)m * inputs + half + i] = Half.Float(x[(long)m * inputs + 2 * i + 1]);
                }
            }
            int n = first;
            for (; n + 4 <= last; n += 4)
            {
                for (int m = 0; m < rows; m++)
                {
                    Vector128<float> sums = OneByFour(apart + (long)m * inputs, (uint*)(w + (long)n * inputs), half);
                    for (int i = 0; i < 4; i++) y[(long)m * outputs + n + i] = Half.Of(sums[i] + (bias is null ? 0 : Half.Float(bias[n + i])));
                }
            }
            for (; n < last; n++)
                for (int m = 0; m < rows; m++)
                    y[(long)m * outputs + n] = Half.Of(Dot(apart + (long)m * inputs, (uint*)(w + (long)n * inputs), half) + (bias is null ? 0 : Half.Float(bias[n])));
        }
        finally
        {
            NativeMemory.AlignedFree(apart);
        }
    }

    private static void FourByFour(float* x, float* w, int inputs, float* bias, float* y, int outputs, bool isFirst)
    {
        float* x1 = x + inputs, x2 = x1 + inputs, x3 = x2 + inputs, w1 = w + inputs, w2 = w1 + inputs, w3 = w2 + inputs;
        Vector512<float> s00 = default, s01 = default, s02 = default, s03 = default, s10 = default, s11 = default, s12 = default, s13 = default;
        Vector512<float> s20 = default, s21 = default, s22 = default, s23 = default, s30 = default, s31 = default, s32 = default, s33 = default;
        for (int k = 0; k < inputs; k += 16)
        {
            if (isFirst) Ahead.Fetch(w + k, w1 + k, w2 + k, w3 + k, 16L * inputs);
            Vector512<float> a = Vector512.Load(w + k), b = Vector512.Load(w1 + k), c = Vector512.Load(w2 + k), d = Vector512.Load(w3 + k);
            Vector512<float> v = Vector512.Load(x + k);
            s00 = Vector512.FusedMultiplyAdd(v, a, s00); s01 = Vector512.FusedMultiplyAdd(v, b, s01); s02 = Vector512.FusedMultiplyAdd(v, c, s02); s03 = Vector512.FusedMultiplyAdd(v, d, s03);
            v = Vector512.Load(x1 + k);
            s10 = Vector512.FusedMultiplyAdd(v, a, s10); s11 = Vector512.FusedMultiplyAdd(v, b, s11); s12 = Vector512.FusedMultiplyAdd(v, c, s12); s13 = Vector512.FusedMultiplyAdd(v, d, s13);
            v = Vector512.Load(x2 + k);
            s20 = Vector512.FusedMultiplyAdd(v, a, s20); s21 = Vector512.FusedMultiplyAdd(v, b, s21); s22 = Vector512.FusedMultiplyAdd(v, c, s22); s23 = Vector512.FusedMultiplyAdd(v, d, s23);
            v = Vector512.Load(x3 + k);
            s30 = Vector512.FusedMultiplyAdd(v, a, s30); s31 = Vector512.FusedMultiplyAdd(v, b, s31); s32 = Vector512.FusedMultiplyAdd(v, c, s32); s33 = Vector512.FusedMultiplyAdd(v, d, s33);
        }
        Vector128<float> add = bias is null ? default : Vector128.Load(bias);
        Vector128.Store(Vector128.Create(Vector512.Sum(s00), Vector512.Sum(s01), Vector512.Sum(s02), Vector512.Sum(s03)) + add, y);
        Vector128.Store(Vector128.Create(Vector512.Sum(s10), Vector512.Sum(s11), Vector512.Sum(s12), Vector512.Sum(s13)) + add, y + outputs);
        Vector128.Store(Vector128.Create(Vector512.Sum(s20), Vector512.Sum(s21), Vector512.Sum(s22), Vector512.Sum(s23)) + add, y + 2L * outputs);
        Vector128.Store(Vector128.Create(Vector512.Sum(s30), Vector512.Sum(s31), Vector512.Sum(s32), Vector512.Sum(s33)) + add, y + 3L * outputs);
    }

    private static void OneByFour(float* x, float* w, int inputs, float* bias, float* y, bool isFirst)
    {
        float* w1 = w + inputs, w2 = w1 + inputs, w3 = w2 + inputs;
        Vector512<float> a = default, b = default, c = default, d = default, a2 = default, b2 = default, c2 = default, d2 = default;
        for (int k = 0; k < inputs; k += 32)
        {
            if (isFirst)
            {
                Ahead.Fetch(w + k, w1 + k, w2 + k, w3 + k, 16L * inputs);
                Ahead.Fetch(w + k + 16, w1 + k + 16, w2 + k + 16, w3 + k + 16, 16L * inputs);
            }
            Vector512<float> v = Vector512.Load(x + k), u = Vector512.Load(x + k + 16);
            a = Vector512.FusedMultiplyAdd(v, Vector512.Load(w + k), a); a2 = Vector512.FusedMultiplyAdd(u, Vector512.Load(w + k + 16), a2);
            b = Vector512.FusedMultiplyAdd(v, Vector512.Load(w1 + k), b); b2 = Vector512.FusedMultiplyAdd(u, Vector512.Load(w1 + k + 16), b2);
            c = Vector512.FusedMultiplyAdd(v, Vector512.Load(w2 + k), c); c2 = Vector512.FusedMultiplyAdd(u, Vector512.Load(w2 + k + 16), c2);
            d = Vector512.FusedMultiplyAdd(v, Vector512.Load(w3 + k), d); d2 = Vector512.FusedMultiplyAdd(u, Vector512.Load(w3 + k + 16), d2);
        }
        Vector128<float> sums = Vector128.Create(Vector512.Sum(a + a2), Vector512.Sum(b + b2), Vector512.Sum(c + c2), Vector512.Sum(d + d2));
        Vector128.Store(bias is null ? sums : sums + Vector128.Load(bias), y);
    }

    private static float Dot(float* x, float* w, int inputs)
    {
        Vector512<float> sum = default;
        for (int k = 0; k < inputs; k += 16) sum = Vector512.FusedMultiplyAdd(Vector512.Load(x + k), Vector512.Load(w + k), sum);
        return Vector512.Sum(sum);
    }

    /// <param name="x">[2, half]: even numbers, odd numbers</param>
    /// <param name="w">[4, half] words</param>
    private static Vector128<float> OneByFour(float* x, uint* w, int half)
    {
        uint* w1 = w + half, w2 = w1 + half, w3 = w2 + half;
        float* odd = x + half;
        Vector512<float> a = default, b = default, c = default, d = default, a2 = default, b2 = default, c2 = default, d2 = default;
        for (int k = 0; k < half; k += 16)
        {
            Ahead.Fetch(w + k, w1 + k, w2 + k, w3 + k, 16L * half);
            Vector512<float> v = Vector512.Load(x + k), u = Vector512.Load(odd + k);
            Pair(w + k, v, u, ref a, ref a2);
            Pair(w1 + k, v, u, ref b, ref b2);
            Pair(w2 + k, v, u, ref c, ref c2);
            Pair(w3 + k, v, u, ref d, ref d2);
        }
        return Vector128.Create(Vector512.Sum(a + a2), Vector512.Sum(b + b2), Vector512.Sum(c + c2), Vector512.Sum(d + d2));
    }

    private static float Dot(float* x, uint* w, int half)
    {
        Vector512<float> even = default, odd = default;
        for (int k = 0; k < half; k += 16) Pair(w + k, Vector512.Load(x + k), Vector512.Load(x + half + k), ref even, ref odd);
        return Vector512.Sum(even + odd);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Pair(uint* w, Vector512<float> even, Vector512<float> odd, ref Vector512<float> sum, ref Vector512<float> other)
    {
        Vector512<uint> words = Vector512.Load(w);
        sum = Vector512.FusedMultiplyAdd(even, Half.Even(words), sum);
        other = Vector512.FusedMultiplyAdd(odd, Half.Odd(words), other);
    }
}
