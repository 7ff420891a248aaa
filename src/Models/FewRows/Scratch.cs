using System.Runtime.InteropServices;

namespace Ndif.Models;

/// <summary>Memory of a thread's own for what lies between two stages; it grows to what was needed most, and is used again.</summary>
internal sealed unsafe class Scratch
{
    /// <summary>More than this is given back after each use: long prompts are rare beside short ones.</summary>
    private const long Kept = 16 << 20;

    [ThreadStatic]
    private static Scratch?[]? t_own;

    private float* _start;
    private long _count;

    private Scratch() { }

    ~Scratch() => NativeMemory.AlignedFree(_start);

    /// <summary>So many numbers, whatever they are. They are the caller's until the thread asks for the same place again.</summary>
    /// <param name="place">What a thread needs at the same time has different places: 0 to 6.</param>
    public static float* Floats(int place, long count)
    {
        Scratch own = (t_own ??= new Scratch?[7])[place] ??= new Scratch();
        if (own._count < count || (own._count > Kept && count < Kept / 4))
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
