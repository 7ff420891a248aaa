using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// The parts of attention for one head of one row. In bfloat16 each rounds where the tensors of the eager implementation do.
/// </summary>
internal static unsafe class AttentionKernels
{
    /// <summary>A mask below it, added to a score, leaves nothing of the score in float32, even after a soft cap.</summary>
    private const float Masked = -1e30f;

    /// <summary>The number of queries at the beginning that attend to no key, as padding does.</summary>
    /// <param name="mask">[seq, kvSeq]</param>
    public static int LeadingMaskedQueries<T>(byte* mask, int seq, int kvSeq) where T : IElement
    {
        int query = 0;
        while (query < seq && LastVisibleKey<T>(mask + (long)query * kvSeq * T.Size, kvSeq) < 0) query++;
        return query;
    }

    /// <summary>
    /// The range of keys that any of these queries attends to. A masked key has a probability of exactly zero and is left out. If a query
    /// attends to no key, the range is all keys, because the softmax is then uniform.
    /// </summary>
    /// <param name="mask">[seq, kvSeq]</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (int From, int To) VisibleKeyRange<T>(byte* mask, int seq, int kvSeq) where T : IElement
    {
        int from = kvSeq, to = 0;
        for (int token = 0; token < seq; token++, mask += (long)kvSeq * T.Size)
        {
            int high = LastVisibleKey<T>(mask, kvSeq), low = 0;
            if (high < 0) return (0, kvSeq);
            while (low + 16 <= high && Vector512.LessThanAll(T.Load(mask + (long)low * T.Size), Vector512.Create(Masked))) low += 16;
            while (T.LoadScalar(mask + (long)low * T.Size) < Masked) low++;
            (from, to) = (Math.Min(from, low), Math.Max(to, high + 1));
        }
        return (from, to);
    }

    /// <summary>The last key that a query attends to, or -1.</summary>
    /// <param name="mask">[kvSeq]</param>
    private static int LastVisibleKey<T>(byte* mask, int kvSeq) where T : IElement
    {
        int key = kvSeq - 1;
        while (key >= 16 && Vector512.LessThanAll(T.Load(mask + (key - 15L) * T.Size), Vector512.Create(Masked))) key -= 16;
        while (key >= 0 && T.LoadScalar(mask + (long)key * T.Size) < Masked) key--;
        return key;
    }

    /// <summary>x cos + rotate_half(x) sin over 2 · <paramref name="half"/> elements, in place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ApplyRotary<T>(float* x, int half, byte* cosines, byte* sines) where T : IElement
    {
        int i = 0;
        for (; i + 16 <= half; i += 16)
        {
            Vector512<float> a = Vector512.Load(x + i), b = Vector512.Load(x + half + i);
            int upper = (half + i) * T.Size;
            Vector512.Store(Round<T>(Round<T>(a * T.Load(cosines + i * T.Size)) + Round<T>(-b * T.Load(sines + i * T.Size))), x + i);
            Vector512.Store(Round<T>(Round<T>(b * T.Load(cosines + upper)) + Round<T>(a * T.Load(sines + upper))), x + half + i);
        }
        for (; i < half; i++)
        {
            float a = x[i], b = x[half + i];
            int upper = (half + i) * T.Size;
            x[i] = Round<T>(Round<T>(a * T.LoadScalar(cosines + i * T.Size)) + Round<T>(-b * T.LoadScalar(sines + i * T.Size)));
            x[half + i] = Round<T>(Round<T>(b * T.LoadScalar(cosines + upper)) + Round<T>(a * T.LoadScalar(sines + upper)));
        }
    }

    /// <summary>Rotates pairs of adjacent elements of a head, in place.</summary>
    /// <param name="x">[2 half]</param>
    /// <param name="cosines">[2 half], of which the first half belongs to the pairs, unless they are repeated.</param>
    /// <param name="isRepeated">
    /// Whether both elements of a pair have cosines and sines of their own; the result is then rounded by the caller only.
    /// </param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ApplyAdjacentRotary<T>(float* x, int half, byte* cosines, byte* sines, bool isRepeated) where T : IElement
    {
        for (int i = 0; i < half; i++)
        {
            int index = (isRepeated ? 2 * i : i) * T.Size;
            float a = x[2 * i], b = x[2 * i + 1], cosine = T.LoadScalar(cosines + index), sine = T.LoadScalar(sines + index);
            float ac = a * cosine, bs = -b * sine, bc = b * cosine, @as = a * sine;
            x[2 * i] = isRepeated ? ac + bs : Round<T>(ac) + Round<T>(bs);
            x[2 * i + 1] = isRepeated ? bc + @as : Round<T>(bc) + Round<T>(@as);
        }
    }

    /// <summary>Turns the scores of one query into probabilities, in place: scale, soft cap, mask, softmax.</summary>
    /// <param name="scores">[kvSeq], padded to a multiple of sixteen</param>
    /// <param name="mask">[kvSeq]</param>
    /// <param name="softCap">Scores are limited to (-cap, cap) by cap · tanh(score / cap), if given.</param>
    /// <param name="upcast">Compute in float32, without rounding to bfloat16 between the steps.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Softmax<T>(float* scores, byte* mask, int kvSeq, double scale, double? softCap, bool upcast) where T : IElement
    {
        int maskEnd = kvSeq / 16 * 16;
        float* maskTail = stackalloc float[16]; // the end of the mask, without reading beyond it
        for (int i = maskEnd; i < kvSeq; i++) maskTail[i - maskEnd] = T.LoadScalar(mask + (long)i * T.Size);
        for (int i = kvSeq; i < maskEnd + 16 && maskEnd < kvSeq; i++) maskTail[i - maskEnd] = float.NegativeInfinity;
        Vector512<float> maxima = Vector512.Create(float.NegativeInfinity);
        for (int i = 0; i < kvSeq; i += 16)
        {
            Vector512<float> s = Vector512.Load(scores + i), m = i < maskEnd ? T.Load(mask + (long)i * T.Size) : Vector512.Load(maskTail);
            if (!upcast) s = Round<T>(s);
            s *= Vector512.Create((float)scale);
            if (!upcast) s = Round<T>(s);
            if (softCap is { } cap)
            {
                s = Round<T>(VectorMath.Tanh(Round<T>(s / Vector512.Create((float)cap))));
                s = Round<T>(s * Vector512.Create((float)cap));
            }
            s += m;
            if (!upcast) s = Round<T>(s);
            Vector512.Store(s, scores + i);
            maxima = Vector512.MaxNative(maxima, s);
        }
        float max = float.NegativeInfinity;
        for (int i = 0; i < 16; i++) max = Math.Max(max, maxima[i]);
        Vector512<float> sums = default, offset = Vector512.Create(max);
        for (int i = 0; i < kvSeq; i += 16)
        {
            Vector512<float> e = VectorMath.Exp(Vector512.Load(scores + i) - offset);
            Vector512.Store(e, scores + i);
            sums += e;
        }
        Vector512<float> scaleFactor = Vector512.Create(1 / Vector512.Sum(sums));
        for (int i = 0; i < kvSeq; i += 16) Vector512.Store(Round<T>(Vector512.Load(scores + i) * scaleFactor), scores + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Round<T>(Vector512<float> values) where T : IElement =>
        typeof(T) == typeof(BFloat16) ? BFloat16.Round(values) : values;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Round<T>(float value) where T : IElement => typeof(T) == typeof(BFloat16) ? BFloat16.Round(value) : value;
}
