using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ndif.Models;

/// <summary>What attention does with one head of one row; each rounds where the plain forward's tensors do, if they are bfloat16.</summary>
internal static unsafe class HeadKernels
{
    /// <summary>
    /// The keys that any of these tokens sees, from a multiple of sixteen on: what is masked has a probability of exactly zero. All of them
    /// where a token sees none, because its probabilities are then equal.
    /// </summary>
    /// <param name="mask">[tokens, keys]</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (int From, int To) Visible<T>(byte* mask, int tokens, int keys) where T : IElement
    {
        const float Masked = -1e30f; // of scores beside it nothing is left in float32, even after a cap
        int from = keys, to = 0;
        for (int token = 0; token < tokens; token++, mask += (long)keys * T.Bytes)
        {
            int high = keys - 1, low = 0;
            while (high >= 16 && Vector512.LessThanAll(T.Load(mask + (high - 15L) * T.Bytes), Vector512.Create(Masked))) high -= 16;
            while (high >= 0 && T.Read(mask + (long)high * T.Bytes) < Masked) high--;
            if (high < 0) return (0, keys);
            while (low + 16 <= high && Vector512.LessThanAll(T.Load(mask + (long)low * T.Bytes), Vector512.Create(Masked))) low += 16;
            while (T.Read(mask + (long)low * T.Bytes) < Masked) low++;
            (from, to) = (Math.Min(from, low), Math.Max(to, high + 1));
        }
        return (from / 16 * 16, to);
    }

    /// <summary>x cos + rotate_half(x) sin, for twice so many numbers as half is.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rotate<T>(float* x, int half, byte* cosines, byte* sines) where T : IElement
    {
        int i = 0;
        for (; i + 16 <= half; i += 16)
        {
            Vector512<float> a = Vector512.Load(x + i), b = Vector512.Load(x + half + i);
            int second = (half + i) * T.Bytes;
            Vector512.Store(Rounded<T>(Rounded<T>(a * T.Load(cosines + i * T.Bytes)) + Rounded<T>(-b * T.Load(sines + i * T.Bytes))), x + i);
            Vector512.Store(Rounded<T>(Rounded<T>(b * T.Load(cosines + second)) + Rounded<T>(a * T.Load(sines + second))), x + half + i);
        }
        for (; i < half; i++)
        {
            float a = x[i], b = x[half + i];
            int second = (half + i) * T.Bytes;
            x[i] = Rounded<T>(Rounded<T>(a * T.Read(cosines + i * T.Bytes)) + Rounded<T>(-b * T.Read(sines + i * T.Bytes)));
            x[half + i] = Rounded<T>(Rounded<T>(b * T.Read(cosines + second)) + Rounded<T>(a * T.Read(sines + second)));
        }
    }

    /// <summary>One query's scores become its probabilities: scaled, bent, masked, and softmax of them.</summary>
    /// <param name="scores">[keys], and room up to the next sixteen</param>
    /// <param name="mask">[keys]</param>
    /// <param name="bound">Scores are bent to stay between -bound and bound, if given.</param>
    /// <param name="precise">Not rounded on the way.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Softmax<T>(float* scores, byte* mask, int keys, double scale, double? bound, bool precise) where T : IElement
    {
        int vectors = keys / 16 * 16;
        float* rest = stackalloc float[16]; // the mask's rest, without reading beyond it
        for (int i = vectors; i < keys; i++) rest[i - vectors] = T.Read(mask + (long)i * T.Bytes);
        for (int i = keys; i < vectors + 16 && vectors < keys; i++) rest[i - vectors] = float.NegativeInfinity;
        Vector512<float> most = Vector512.Create(float.NegativeInfinity);
        for (int i = 0; i < keys; i += 16)
        {
            Vector512<float> s = Vector512.Load(scores + i), m = i < vectors ? T.Load(mask + (long)i * T.Bytes) : Vector512.Load(rest);
            if (!precise) s = Rounded<T>(s);
            s *= Vector512.Create((float)scale);
            if (!precise) s = Rounded<T>(s);
            if (bound is { } cap)
            {
                s = Rounded<T>(Curves.Tanh(Rounded<T>(s / Vector512.Create((float)cap))));
                s = Rounded<T>(s * Vector512.Create((float)cap));
            }
            s += m;
            if (!precise) s = Rounded<T>(s);
            Vector512.Store(s, scores + i);
            most = Vector512.MaxNative(most, s);
        }
        float max = float.NegativeInfinity;
        for (int i = 0; i < 16; i++) max = Math.Max(max, most[i]);
        Vector512<float> sums = default, off = Vector512.Create(max);
        for (int i = 0; i < keys; i += 16)
        {
            Vector512<float> e = Curves.Exp(Vector512.Load(scores + i) - off);
            Vector512.Store(e, scores + i);
            sums += e;
        }
        Vector512<float> part = Vector512.Create(1 / Vector512.Sum(sums));
        for (int i = 0; i < keys; i += 16) Vector512.Store(Rounded<T>(Vector512.Load(scores + i) * part), scores + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Rounded<T>(Vector512<float> numbers) where T : IElement => typeof(T) == typeof(BFloat16) ? BFloat16.Round(numbers) : numbers;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Rounded<T>(float number) where T : IElement => typeof(T) == typeof(BFloat16) ? BFloat16.Round(number) : number;
}
