using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Ndif.Models;

/// <summary>The numbers of a weight as the kernels read them: always as float32.</summary>
internal unsafe interface IElement
{
    /// <summary>Of one number in memory.</summary>
    static abstract int Bytes { get; }

    /// <summary>Sixteen numbers.</summary>
    static abstract Vector512<float> Load(byte* at);

    static abstract float Read(byte* at);
}

internal readonly unsafe struct Float32 : IElement
{
    public static int Bytes => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(byte* at) => Vector512.Load((float*)at);

    public static float Read(byte* at) => *(float*)at;
}

/// <summary>The upper half of a float32.</summary>
internal readonly unsafe struct BFloat16 : IElement
{
    public static int Bytes => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(byte* at) => (Avx512F.ConvertToVector512UInt32(Vector256.Load((ushort*)at)) << 16).AsSingle();

    public static float Read(byte* at) => Wide(*(ushort*)at);

    public static float Wide(ushort half) => BitConverter.UInt32BitsToSingle((uint)half << 16);

    /// <summary>Rounded to the nearest, ties to even; still as float32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Round(Vector512<float> numbers)
    {
        Vector512<uint> bits = numbers.AsUInt32();
        Vector512<uint> rounded = (bits + Vector512.Create(0x7FFFu) + ((bits >> 16) & Vector512.Create(1u))) & Vector512.Create(0xFFFF0000u);
        return Vector512.ConditionalSelect(Vector512.Equals(numbers, numbers), rounded.AsSingle(), numbers); // what is not a number stays so
    }

    public static float Round(float number) => Wide(Narrow(number));

    public static ushort Narrow(float number)
    {
        uint bits = BitConverter.SingleToUInt32Bits(number);
        if (float.IsNaN(number)) return 0x7FC0;
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>Reads numbers as float32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Widen(ushort* from, float* to, long count)
    {
        long i = 0;
        for (; i + 16 <= count; i += 16) Vector512.Store(Load((byte*)(from + i)), to + i);
        for (; i < count; i++) to[i] = Wide(from[i]);
    }

    /// <summary>Writes float32 numbers, rounded.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Narrow(float* from, ushort* to, long count)
    {
        long i = 0;
        for (; i + 16 <= count; i += 16)
        {
            Vector512<uint> upper = Round(Vector512.Load(from + i)).AsUInt32() >> 16;
            Vector256.Store(Avx512F.ConvertToVector256UInt16(upper), to + i);
        }
        for (; i < count; i++) to[i] = Narrow(from[i]);
    }
}
