using System.Runtime.InteropServices;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// Thread-local, reusable, 64-byte aligned memory for the intermediate results of a kernel. A buffer grows to the largest size
/// requested.
/// </summary>
internal sealed unsafe class ScratchBuffer
{
    /// <summary>A buffer with more elements than this is freed when a much smaller one is requested: long prompts are rare.</summary>
    private const long MaxRetained = 16 << 20;

    [ThreadStatic]
    private static ScratchBuffer?[]? _buffers;

    [ThreadStatic]
    private static Stack<ScratchBuffer?[]>? _unused;

    private float* _start;
    private long _count;

    private ScratchBuffer() { }

    ~ScratchBuffer() => NativeMemory.AlignedFree(_start);

    /// <summary>Gives other buffers to the code that the thread runs in the middle of a kernel, until the result is disposed.</summary>
    public static Suspension Suspend()
    {
        ScratchBuffer?[]? suspended = _buffers;
        _buffers = _unused is { Count: > 0 } unused ? unused.Pop() : null;
        return new Suspension(suspended);
    }

    public readonly struct Suspension : IDisposable
    {
        private readonly ScratchBuffer?[]? _suspended;

        internal Suspension(ScratchBuffer?[]? suspended) => _suspended = suspended;

        public void Dispose()
        {
            if (_buffers is not null) (_unused ??= []).Push(_buffers);
            _buffers = _suspended;
        }
    }

    /// <summary>
    /// Returns memory for <paramref name="count"/> elements with undefined content. It is valid until the thread requests the same slot
    /// again.
    /// </summary>
    /// <param name="slot">0 to 8. Buffers that are in use at the same time have different slots.</param>
    public static float* GetFloats(int slot, long count)
    {
        ScratchBuffer buffer = (_buffers ??= new ScratchBuffer?[9])[slot] ??= new ScratchBuffer();
        if (buffer._count < count || (buffer._count > MaxRetained && count < MaxRetained / 4))
        {
            NativeMemory.AlignedFree(buffer._start);
            buffer._start = null; // the allocation may fail
            buffer._count = 0;
            buffer._start = (float*)NativeMemory.AlignedAlloc((nuint)(count + 16) * sizeof(float), 64);
            buffer._count = count;
        }
        return buffer._start;
    }
}
