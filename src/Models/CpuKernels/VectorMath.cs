using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ndif.Models.CpuKernels;

/// <summary>Elementwise functions in float32, sixteen elements at a time.</summary>
internal static unsafe class VectorMath
{
    /// <summary>Applies an activation function in place.</summary>
    /// <param name="roundToBFloat16">Round the argument and the result to bfloat16, as a bfloat16 model does.</param>
    public static void Apply(ActivationKind kind, float* x, int count, bool roundToBFloat16)
    {
        if (kind == ActivationKind.Gelu) Apply<Gelu>(x, count, roundToBFloat16);
        else if (kind == ActivationKind.GeluTanh) Apply<GeluTanh>(x, count, roundToBFloat16);
        else if (kind == ActivationKind.Silu) Apply<Silu>(x, count, roundToBFloat16);
        else Apply<Relu>(x, count, roundToBFloat16);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Apply<T>(float* x, int count, bool roundToBFloat16) where T : IActivationFunction
    {
        int i = 0;
        for (; i + 16 <= count; i += 16)
        {
            Vector512<float> v = Vector512.Load(x + i);
            Vector512.Store(roundToBFloat16 ? BFloat16.Round(T.Evaluate(BFloat16.Round(v))) : T.Evaluate(v), x + i);
        }
        if (i == count) return;
        float* tail = stackalloc float[16];
        new Span<float>(tail, 16).Clear();
        new Span<float>(x + i, count - i).CopyTo(new Span<float>(tail, 16));
        Vector512<float> tailVector = Vector512.Load(tail);
        Vector512.Store(roundToBFloat16 ? BFloat16.Round(T.Evaluate(BFloat16.Round(tailVector))) : T.Evaluate(tailVector), tail);
        new Span<float>(tail, count - i).CopyTo(new Span<float>(x + i, count - i));
    }

    /// <summary>gate = activation(gate) · up, in place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ApplyGated(ActivationKind kind, float* gate, float* up, int count, bool roundToBFloat16)
    {
        Apply(kind, gate, count, roundToBFloat16);
        int i = 0;
        for (; i + 16 <= count; i += 16)
        {
            Vector512<float> u = Vector512.Load(up + i), g = Vector512.Load(gate + i);
            Vector512.Store(roundToBFloat16 ? BFloat16.Round(g * BFloat16.Round(u)) : g * u, gate + i);
        }
        for (; i < count; i++) gate[i] = roundToBFloat16 ? BFloat16.Round(gate[i] * BFloat16.Round(up[i])) : gate[i] * up[i];
    }

    /// <summary>x = x · scale + bias, in place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ScaleAdd(float* x, float* scale, float* bias, int count)
    {
        int i = 0;
        for (; i + 16 <= count; i += 16)
            Vector512.Store(Vector512.FusedMultiplyAdd(Vector512.Load(x + i), Vector512.Load(scale + i), Vector512.Load(bias + i)), x + i);
        for (; i < count; i++) x[i] = MathF.FusedMultiplyAdd(x[i], scale[i], bias[i]);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RoundToBFloat16(float* x, int count)
    {
        int i = 0;
        for (; i + 16 <= count; i += 16) Vector512.Store(BFloat16.Round(Vector512.Load(x + i)), x + i);
        for (; i < count; i++) x[i] = BFloat16.Round(x[i]);
    }

    /// <summary>eˣ with an error of about two units in the last place; 0 below the smallest normal number.</summary>
    /// <remarks>Cody-Waite range reduction and the polynomial of Cephes' expf.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Exp(Vector512<float> x)
    {
        Vector512<float> min = Vector512.Create(-87.33654f),
            clamped = Vector512.MinNative(Vector512.MaxNative(x, min), Vector512.Create(88.72283f));
        Vector512<float> n = Vector512.Round(clamped * Vector512.Create(1.44269504f));
        Vector512<float> r = Vector512.FusedMultiplyAdd(n, Vector512.Create(-0.693359375f), clamped);
        r = Vector512.FusedMultiplyAdd(n, Vector512.Create(2.12194440e-4f), r);
        Vector512<float> p = Vector512.Create(1.9875691500e-4f);
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1.3981999507e-3f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(8.3334519073e-3f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(4.1665795894e-2f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1.6666665459e-1f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(5.0000001201e-1f));
        p = Vector512.FusedMultiplyAdd(p, r * r, r + Vector512<float>.One);
        // 2ⁿ as a product of two powers, because 2^128 is not representable in float32 where eˣ still is
        Vector512<int> exponent = Vector512.ConvertToInt32(n), half = exponent >> 1;
        Vector512<float> power1 = ((half + Vector512.Create(127)) << 23).AsSingle(),
            power2 = ((exponent - half + Vector512.Create(127)) << 23).AsSingle();
        Vector512<float> result = Vector512.ConditionalSelect(Vector512.LessThan(x, min), Vector512<float>.Zero, p * power1 * power2);
        result =
            Vector512.ConditionalSelect(Vector512.GreaterThan(x, Vector512.Create(88.72283f)), Vector512.Create(float.PositiveInfinity),
                result);
        return Vector512.ConditionalSelect(Vector512.Equals(x, x), result, x);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Tanh(Vector512<float> x)
    {
        // 1 - 2 / (e²ˣ + 1) cancels near 0, where the Taylor polynomial is accurate enough
        Vector512<float> large = Vector512<float>.One - Vector512.Create(2f) / (Exp(x + x) + Vector512<float>.One), square = x * x;
        Vector512<float> small =
            Vector512.FusedMultiplyAdd(square, Vector512.Create(-5.70498872745e-3f), Vector512.Create(2.06390887954e-2f));
        small = Vector512.FusedMultiplyAdd(small, square, Vector512.Create(-5.37397155531e-2f));
        small = Vector512.FusedMultiplyAdd(small, square, Vector512.Create(1.33314422036e-1f));
        small = Vector512.FusedMultiplyAdd(small, square, Vector512.Create(-3.33332819422e-1f));
        small = Vector512.FusedMultiplyAdd(small * square, x, x);
        return Vector512.ConditionalSelect(Vector512.LessThan(Vector512.Abs(x), Vector512.Create(0.625f)), small, large);
    }

    private interface IActivationFunction
    {
        static abstract Vector512<float> Evaluate(Vector512<float> x);
    }

    /// <summary>x/2 (1 + erf(x/√2)).</summary>
    /// <remarks>Abramowitz and Stegun, 7.1.26: erfc(z) to 1.5e-7, used directly for negative x, where it is small.</remarks>
    private readonly struct Gelu : IActivationFunction
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Evaluate(Vector512<float> x)
        {
            Vector512<float> z = Vector512.Abs(x) * Vector512.Create(0.70710678f);
            Vector512<float> t = Vector512<float>.One / Vector512.FusedMultiplyAdd(z, Vector512.Create(0.3275911f), Vector512<float>.One);
            Vector512<float> p = Vector512.FusedMultiplyAdd(t, Vector512.Create(1.061405429f), Vector512.Create(-1.453152027f));
            p = Vector512.FusedMultiplyAdd(p, t, Vector512.Create(1.421413741f));
            p = Vector512.FusedMultiplyAdd(p, t, Vector512.Create(-0.284496736f));
            p = Vector512.FusedMultiplyAdd(p, t, Vector512.Create(0.254829592f));
            Vector512<float> complement = p * t * Exp(-(z * z)); // erfc(z)
            Vector512<float> sum =
                Vector512.ConditionalSelect(Vector512.LessThan(x, Vector512<float>.Zero), complement, Vector512.Create(2f) - complement);
            return Vector512.Create(0.5f) * x * sum;
        }
    }

    private readonly struct GeluTanh : IActivationFunction
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Evaluate(Vector512<float> x) =>
            Vector512.Create(0.5f) * x
            * (Vector512<float>.One
                + Tanh(Vector512.Create(0.7978845608f) * Vector512.FusedMultiplyAdd(x * x * x, Vector512.Create(0.044715f), x)));
    }

    private readonly struct Silu : IActivationFunction
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Evaluate(Vector512<float> x) => x / (Vector512<float>.One + Exp(-x));
    }

    private readonly struct Relu : IActivationFunction
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Evaluate(Vector512<float> x) =>
            Vector512.ConditionalSelect(Vector512.LessThan(x, Vector512<float>.Zero), Vector512<float>.Zero, x);
    }
}
