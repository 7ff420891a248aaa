using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ndif.Models.CpuKernels;

/// <summary>What attention does with one head of one row; each rounds where the plain forward's tensors do, if they are bfloat16.</summary>
internal static unsafe class AttentionKernels
{
    /// <summary>
    /// The keys that any of these tokens sees, from a multiple of sixteen on: what is masked has a probability of exactly zero. All of them
    /// where a token sees none, because its probabilities are then equal.
    /// </summary>
    /// <param name="mask">[seq, kvSeq]</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (int From, int To) VisibleKeyRange<T>(byte* mask, int seq, int kvSeq) where T : IElement
    {
        const float Masked = -1e30f; // of scores beside it nothing is left in float32, even after a cap
        int from = kvSeq, to = 0;
        for (int token = 0; token < seq; token++, mask += (long)kvSeq * T.Size)
        {
            int high = kvSeq - 1, low = 0;
            while (high >= 16 && Vector512.LessThanAll(T.Load(mask + (high - 15L) * T.Size), Vector512.Create(Masked))) high -= 16;
            while (high >= 0 && T.LoadScalar(mask + (long)high * T.Size) < Masked) high--;
            if (high < 0) return (0, kvSeq);
            while (low + 16 <= high && Vector512.LessThanAll(T.Load(mask + (long)low * T.Size), Vector512.Create(Masked))) low += 16;
            while (T.LoadScalar(mask + (long)low * T.Size) < Masked) low++;
            (from, to) = (Math.Min(from, low), Math.Max(to, high + 1));
        }
        return (from / 16 * 16, to);
    }

    /// <summary>x cos + rotate_half(x) sin, for twice so many numbers as half is.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ApplyRotary<T>(float* x, int half, byte* cosines, byte* sines) where T : IElement
    {
        int i = 0;
        for (; i + 16 <= half; i += 16)
        {
            Vector512<float> a = Vector512.Load(x + i), b = Vector512.Load(x + half + i);
            int second = (half + i) * T.Size;
            Vector512.Store(Round<T>(Round<T>(a * T.Load(cosines + i * T.Size)) + Round<T>(-b * T.Load(sines + i * T.Size))), x + i);
            Vector512.Store(Round<T>(Round<T>(b * T.Load(cosines + second)) + Round<T>(a * T.Load(sines + second))), x + half + i);
        }
        for (; i < half; i++)
        {
            float a = x[i], b = x[half + i];
            int second = (half + i) * T.Size;
            x[i] = Round<T>(Round<T>(a * T.LoadScalar(cosines + i * T.Size)) + Round<T>(-b * T.LoadScalar(sines + i * T.Size)));
            x[half + i] = Round<T>(Round<T>(b * T.LoadScalar(cosines + second)) + Round<T>(a * T.LoadScalar(sines + second)));
        }
    }

    /// <summary>One query's scores become its probabilities: scaled, bent, masked, and softmax of them.</summary>
    /// <param name="scores">[kvSeq], and room up to the next sixteen</param>
    /// <param name="mask">[kvSeq]</param>
    /// <param name="softCap">Scores are bent to stay between -bound and bound, if given.</param>
    /// <param name="upcast">Not rounded on the way.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Softmax<T>(float* scores, byte* mask, int kvSeq, double scale, double? softCap, bool upcast) where T : IElement
    {
        int vectors = kvSeq / 16 * 16;
        float* rest = stackalloc float[16]; // the mask's rest, without reading beyond it
        for (int i = vectors; i < kvSeq; i++) rest[i - vectors] = T.LoadScalar(mask + (long)i * T.Size);
        for (int i = kvSeq; i < vectors + 16 && vectors < kvSeq; i++) rest[i - vectors] = float.NegativeInfinity;
        Vector512<float> most = Vector512.Create(float.NegativeInfinity);
        for (int i = 0; i < kvSeq; i += 16)
        {
            Vector512<float> s = Vector512.Load(scores + i), m = i < vectors ? T.Load(mask + (long)i * T.Size) : Vector512.Load(rest);
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
            most = Vector512.MaxNative(most, s);
        }
        float max = float.NegativeInfinity;
        for (int i = 0; i < 16; i++) max = Math.Max(max, most[i]);
        Vector512<float> sums = default, off = Vector512.Create(max);
        for (int i = 0; i < kvSeq; i += 16)
        {
            Vector512<float> e = VectorMath.Exp(Vector512.Load(scores + i) - off);
            Vector512.Store(e, scores + i);
            sums += e;
        }
        Vector512<float> part = Vector512.Create(1 / Vector512.Sum(sums));
        for (int i = 0; i < kvSeq; i += 16) Vector512.Store(Round<T>(Vector512.Load(scores + i) * part), scores + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Round<T>(Vector512<float> numbers) where T : IElement => typeof(T) == typeof(BFloat16) ? BFloat16.Round(numbers) : numbers;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Round<T>(float number) where T : IElement => typeof(T) == typeof(BFloat16) ? BFloat16.Round(number) : number;
}
