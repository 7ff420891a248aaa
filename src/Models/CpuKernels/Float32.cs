using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Ndif.Models.CpuKernels;

internal readonly unsafe struct Float32 : IElement
{
    public static int Size => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(byte* address) => Vector512.Load((float*)address);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load8(byte* address) => Vector256.Load((float*)address);

    public static float LoadScalar(byte* address) => *(float*)address;
}
