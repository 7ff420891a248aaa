using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Ndif.Models.CpuKernels;

/// <summary>The numbers of a weight as the kernels read them: always as float32.</summary>
internal unsafe interface IElement
{
    /// <summary>Of one number in memory.</summary>
    static abstract int Size { get; }

    /// <summary>Sixteen numbers.</summary>
    static abstract Vector512<float> Load(byte* address);

    static abstract float LoadScalar(byte* address);
}

internal readonly unsafe struct Float32 : IElement
{
    public static int Size => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(byte* address) => Vector512.Load((float*)address);

    public static float LoadScalar(byte* address) => *(float*)address;
}

/// <summary>The upper half of a float32.</summary>
internal readonly unsafe struct BFloat16 : IElement
{
    public static int Size => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(byte* address) => (Avx512F.ConvertToVector512UInt32(Vector256.Load((ushort*)address)) << 16).AsSingle();

    public static float LoadScalar(byte* address) => ToSingle(*(ushort*)address);

    public static float ToSingle(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>Rounded to the nearest, ties to even; still as float32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Round(Vector512<float> values)
    {
        Vector512<uint> bits = values.AsUInt32();
        Vector512<uint> rounded = (bits + Vector512.Create(0x7FFFu) + ((bits >> 16) & Vector512.Create(1u))) & Vector512.Create(0xFFFF0000u);
        return Vector512.ConditionalSelect(Vector512.Equals(values, values), rounded.AsSingle(), values); // what is not a number stays so
    }

    public static float Round(float value) => ToSingle(Narrow(value));

    public static ushort Narrow(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value)) return 0x7FC0;
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>Reads numbers as float32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Widen(ushort* source, float* destination, long count)
    {
        long i = 0;
        for (; i + 16 <= count; i += 16) Vector512.Store(Load((byte*)(source + i)), destination + i);
        for (; i < count; i++) destination[i] = ToSingle(source[i]);
    }

    /// <summary>Writes float32 numbers, rounded.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Narrow(float* source, ushort* destination, long count)
    {
        long i = 0;
        for (; i + 16 <= count; i += 16)
        {
            Vector512<uint> upper = Round(Vector512.Load(source + i)).AsUInt32() >> 16;
            Vector256.Store(Avx512F.ConvertToVector256UInt16(upper), destination + i);
        }
        for (; i < count; i++) destination[i] = Narrow(source[i]);
    }
}
