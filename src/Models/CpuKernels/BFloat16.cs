using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Ndif.Models.CpuKernels;

/// <summary>The bfloat16 format: the upper 16 bits of a float32.</summary>
internal readonly unsafe struct BFloat16 : IElement
{
    public static int Size => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(byte* address) => Avx512F.IsSupported
        ? (Avx512F.ConvertToVector512UInt32(Vector256.Load((ushort*)address)) << 16).AsSingle()
        : Vector512.Create(Load8(address), Load8(address + 16));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load8(byte* address) =>
        (Avx2.ConvertToVector256Int32(Vector128.Load((ushort*)address)) << 16).AsSingle();

    public static float LoadScalar(byte* address) => ToSingle(*(ushort*)address);

    public static float ToSingle(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>Rounds to the nearest bfloat16, ties to even. The result is a float32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Round(Vector512<float> values)
    {
        Vector512<uint> bits = values.AsUInt32();
        Vector512<uint> rounded =
            (bits + Vector512.Create(0x7FFFu) + ((bits >> 16) & Vector512.Create(1u))) & Vector512.Create(0xFFFF0000u);
        return Vector512.ConditionalSelect(Vector512.Equals(values, values), rounded.AsSingle(), values); // NaN stays NaN
    }

    public static float Round(float value) => ToSingle(Narrow(value));

    public static ushort Narrow(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value)) return 0x7FC0;
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>Converts elements to float32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Widen(ushort* source, float* destination, long count)
    {
        long i = 0;
        for (; i + 16 <= count; i += 16) Vector512.Store(Load((byte*)(source + i)), destination + i);
        for (; i < count; i++) destination[i] = ToSingle(source[i]);
    }

    /// <summary>Converts float32 values to bfloat16, rounded to the nearest, ties to even.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Narrow(float* source, ushort* destination, long count)
    {
        long i = 0;
        for (; i + 16 <= count; i += 16)
        {
            Vector512<uint> upper = Round(Vector512.Load(source + i)).AsUInt32() >> 16;
            Vector256.Store(Avx512F.IsSupported ? Avx512F.ConvertToVector256UInt16(upper)
                : Vector256.Narrow(upper.GetLower(), upper.GetUpper()), destination + i);
        }
        for (; i < count; i++) destination[i] = Narrow(source[i]);
    }
}
