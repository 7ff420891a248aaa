using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ndif.Models;

/// <summary>bfloat16: the upper half of a float32.</summary>
internal static class Half
{
    /// <summary>The numbers at even places of pairs: little-endian, so the lower halves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Even(Vector512<uint> words) => (words << 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Odd(Vector512<uint> words) => (words & Vector512.Create(0xFFFF0000u)).AsSingle();

    public static float Float(ushort half) => BitConverter.UInt32BitsToSingle((uint)half << 16);

    /// <summary>Rounded to the nearest, ties to even.</summary>
    public static ushort Of(float number)
    {
        uint bits = BitConverter.SingleToUInt32Bits(number);
        if (float.IsNaN(number)) return 0x7FC0;
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
