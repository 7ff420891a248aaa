using System.Runtime.InteropServices;

namespace Ndif.Models.CpuKernels;

/// <summary>Memory of a thread's own for what lies between two stages; it grows to what was needed most, and is used again.</summary>
internal sealed unsafe class ScratchBuffer
{
    /// <summary>More than this is given back after each use: long prompts are rare beside short ones.</summary>
    private const long MaxRetained = 16 << 20;

    [ThreadStatic]
    private static ScratchBuffer?[]? _buffers;

    private float* _start;
    private long _count;

    private ScratchBuffer() { }

    ~ScratchBuffer() => NativeMemory.AlignedFree(_start);

    /// <summary>So many numbers, whatever they are. They are the caller's until the thread asks for the same place again.</summary>
    /// <param name="slot">What a thread needs at the same time has different places: 0 to 6.</param>
    public static float* GetFloats(int slot, long count)
    {
        ScratchBuffer own = (_buffers ??= new ScratchBuffer?[7])[slot] ??= new ScratchBuffer();
        if (own._count < count || (own._count > MaxRetained && count < MaxRetained / 4))
        {
            NativeMemory.AlignedFree(own._start);
            own._start = null; // in case there is no more memory
            own._count = 0;
            own._start = (float*)NativeMemory.AlignedAlloc((nuint)(count + 16) * sizeof(float), 64);
            own._count = count;
        }
        return own._start;
    }
}
