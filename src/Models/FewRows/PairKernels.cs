using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>
/// y = x W + b in bfloat16, summed in float32, by the processor's products of pairs (vdpbf16ps, AMX), which .NET does not offer and
/// libtorch's own micro-kernel does. It wants the weight in panels of 64 outputs in which the numbers of two inputs lie beside each
/// other; here they are packed, and each panel is used for all rows while it is in the cache.
/// </summary>
/// <remarks>
/// The kernel is <c>at::native::cpublas::brgemm</c> (oneDNN's), through the C++ symbol that libtorch exports on Linux. Where it is
/// missing, or does not compute what it should, these products are libtorch's.
/// </remarks>
internal static unsafe class PairKernels
{
    /// <summary>Fewer rows are as quick with the other kernels, which give a row the same numbers alone and in company.</summary>
    private const int Fewest = 9;

    /// <summary>Rows at a time. The kernel is compiled anew for each number of rows and of inputs, so both are padded: the inputs to a multiple of Grain.</summary>
    private const int Tall = 64, Grain = 32;

    /// <summary>Outputs of a panel.</summary>
    private const int Width = 64;

    /// <summary>Inputs of a panel, of a weight whose rows are outputs and of one whose columns are: one after the other is summed and added up.</summary>
    private const int Deep = 2048, Shallow = 256;

    /// <summary>Numbers of the panels that are packed at a time: where there are many rows each part of them is used for all of these while it is in the cache.</summary>
    private const int Abreast = 160 << 10;

    /// <summary>Up to so many rows all panels of some of the weight's rows are used before the next rows are read, where columns are outputs.</summary>
    private const int Few = 64;

    private static readonly delegate* unmanaged<long, long, long, long, long, long, byte, ushort*, ushort*, float*, byte, void> s_multiply;
    private static readonly delegate* unmanaged<byte, void> s_release;
    private static readonly bool s_isSupported;

    static PairKernels()
    {
        if (!Avx512BW.IsSupported || !HasPairs() || !OperatingSystem.IsLinux()) return;
        using (ones(1)) { } // libtorch is loaded by the first tensor
        if (!NativeLibrary.TryLoad("libtorch_cpu.so", out nint torch)
            || !NativeLibrary.TryGetExport(torch, "_ZN2at6native7cpublas6brgemmEllllllbPKN3c108BFloat16ES5_Pfb", out nint multiply)
            || !NativeLibrary.TryGetExport(torch, "_ZN2at6native7cpublas14brgemm_releaseEb", out nint release)) return;
        s_release = (delegate* unmanaged<byte, void>)release;
        s_multiply = (delegate* unmanaged<long, long, long, long, long, long, byte, ushort*, ushort*, float*, byte, void>)multiply;
        s_isSupported = ComputesProducts();
    }

    /// <summary>Whether this libtorch and this processor support these kernels, and <see cref="CpuCapabilities.Max"/> permits them.</summary>
    public static bool IsAvailable => CpuCapabilities.Allows(CpuCapability.Avx512BFloat16) && s_isSupported;

    /// <summary>Whether so many rows of this type are for these kernels.</summary>
    public static bool Suits(ScalarType type, int rows) => rows >= Fewest && type == ScalarType.BFloat16 && IsAvailable;

    /// <summary>Scratch of the thread's own, for what <see cref="Take"/> writes of so many rows.</summary>
    public static ushort* NewRows(int rows, int inputs, bool columns) => (ushort*)Scratch.Floats(6, (Room(rows, inputs, columns) + 1) / 2);

    /// <summary>How many numbers <see cref="Take"/> writes.</summary>
    private static long Room(int rows, int inputs, bool columns)
    {
        int deep = DeepOf(inputs, columns);
        return (long)(inputs + deep - 1) / deep * deep * Padded(rows);
    }

    /// <summary>
    /// Some rows as <see cref="Multiply"/> reads them: [blocks of inputs, padded rows, inputs of a block], and zeros where there is none.
    /// Who takes the last row takes those behind it too.
    /// </summary>
    /// <param name="x">Rows of pitch numbers, in bfloat16's precision already.</param>
    /// <param name="to">What <see cref="NewRows"/> gave.</param>
    public static void Take(float* x, long pitch, int rows, int inputs, bool columns, ushort* to, int first, int last)
    {
        int deep = DeepOf(inputs, columns), padded = Padded(rows);
        for (int k = 0; k < inputs; k += deep, to += (long)deep * padded)
        {
            int depth = Math.Min(deep, inputs - k);
            for (int m = first; m < last; m++)
            {
                BFloat16.Narrow(x + m * pitch + k, to + (long)m * deep, depth);
                new Span<ushort>(to + (long)m * deep + depth, deep - depth).Clear();
            }
            if (last == rows) new Span<ushort>(to + (long)rows * deep, (padded - rows) * deep).Clear();
        }
    }

    /// <summary>y = x W + b for the outputs from first to last.</summary>
    /// <param name="x">What <see cref="Take"/> wrote.</param>
    /// <param name="w">[outputs, inputs], or [inputs, outputs] if the columns are outputs</param>
    /// <param name="bias">[outputs], or null</param>
    /// <param name="y">Rows of stride numbers: not rounded; or null</param>
    /// <param name="rounded">The same rounded, if there is no y.</param>
    public static void Multiply(ushort* x, ushort* w, ushort* bias, bool columns, int rows, int inputs, int outputs, float* y, ushort* rounded, long stride, int first, int last)
    {
        int padded = Padded(rows), panels = (last - first + Width - 1) / Width, deep = DeepOf(inputs, columns);
        int abreast = padded <= Tall ? 1 : Math.Clamp(Abreast / (deep * Width), 1, panels), together = columns && rows <= Few ? panels : abreast;
        float* sums = Scratch.Floats(3, (long)together * padded * Width + (long)abreast * deep * Width / 2);
        ushort* packed = (ushort*)(sums + (long)together * padded * Width);
        for (int group = 0; group < panels; group += together)
        {
            int end = Math.Min(group + together, panels);
            for (int k = 0; k < inputs; k += deep)
            {
                int depth = Math.Min(deep, inputs - k), grains = (depth + Grain - 1) / Grain * Grain;
                for (int from = group; from < end; from += abreast)
                {
                    int to = Math.Min(from + abreast, end);
                    for (int p = from; p < to; p++)
                    {
                        int n = first + p * Width;
                        ushort* panel = packed + (long)(p - from) * deep * Width;
                        if (columns) PackColumns(w + (long)k * outputs + n, outputs, depth, grains, Math.Min(Width, last - n), panel);
                        else PackRows(w + (long)n * inputs + k, inputs, depth, grains, Math.Min(Width, last - n), panel);
                    }
                    for (int m = 0; m < padded; m += Tall)
                        for (int p = from; p < to; p++)
                            s_multiply(Math.Min(Tall, padded - m), Width, grains, deep, Width, Width, k > 0 ? (byte)1 : (byte)0,
                                x + (long)k * padded + (long)m * deep, packed + (long)(p - from) * deep * Width, sums + ((long)(p - group) * padded + m) * Width, 1);
                }
            }
            for (int p = group; p < end; p++)
            {
                int n = first + p * Width;
                int count = Math.Min(Width, last - n);
                for (int m = 0; m < rows; m++)
                {
                    float* row = sums + ((long)(p - group) * padded + m) * Width;
                    if (y is not null) Write(row, bias is null ? null : bias + n, y + m * stride + n, count);
                    else if (bias is null) BFloat16.Narrow(row, rounded + m * stride + n, count);
                    else
                    {
                        Write(row, bias + n, row, count);
                        BFloat16.Narrow(row, rounded + m * stride + n, count);
                    }
                }
            }
        }
        s_release(1);
    }

    private static int Padded(int rows) => rows <= 32 ? rows + rows % 2 : (rows + 7) / 8 * 8;

    /// <summary>Inputs of a block.</summary>
    private static int DeepOf(int inputs, bool columns) => Math.Min((inputs + Grain - 1) / Grain * Grain, columns ? Shallow : Deep);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Write(float* sums, ushort* bias, float* y, int count)
    {
        int i = 0;
        for (; i + 16 <= count; i += 16) Vector512.Store(bias is null ? Vector512.Load(sums + i) : Vector512.Load(sums + i) + BFloat16.Load((byte*)(bias + i)), y + i);
        for (; i < count; i++) y[i] = bias is null ? sums[i] : sums[i] + BFloat16.Wide(bias[i]);
    }

    /// <summary>Two rows of the weight become one of pairs.</summary>
    /// <param name="panel">[grains / 2, 64, 2]; what is beyond the columns and the depth is zero</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackColumns(ushort* w, long row, int depth, int grains, int columns, ushort* panel)
    {
        Vector512<ushort> lower = Pairs(0), upper = Pairs(16);
        ushort* apart = stackalloc ushort[2 * Width]; // two rows of which something is missing
        new Span<ushort>(apart, 2 * Width).Clear();
        long ahead = 8 * row;
        for (int k = 0; k < grains; k += 2, w += 2 * row, panel += 2 * Width)
        {
            ushort* even = w, odd = w + row;
            if (columns < Width || k + 1 >= depth)
            {
                even = apart;
                odd = apart + Width;
                for (int i = 0; i < 2; i++)
                {
                    if (k + i < depth) new Span<ushort>(w + i * row, columns).CopyTo(new Span<ushort>(apart + i * Width, columns));
                    else new Span<ushort>(apart + i * Width, columns).Clear();
                }
            }
            Sse.Prefetch0(w + ahead);
            Sse.Prefetch0(w + ahead + 32);
            Sse.Prefetch0(w + ahead + row);
            Sse.Prefetch0(w + ahead + row + 32);
            for (int n = 0; n < Width; n += 32)
            {
                Vector512<ushort> p = Vector512.Load(even + n), q = Vector512.Load(odd + n);
                Vector512.Store(Avx512BW.PermuteVar32x16x2(p, lower, q), panel + 2 * n);
                Vector512.Store(Avx512BW.PermuteVar32x16x2(p, upper, q), panel + 2 * n + 32);
            }
        }

        static Vector512<ushort> Pairs(int from)
        {
            Span<ushort> indices = stackalloc ushort[32];
            for (int i = 0; i < 32; i++) indices[i] = (ushort)(from + i / 2 + i % 2 * 32);
            return Vector512.Create<ushort>(indices);
        }
    }

    /// <summary>Sixteen rows of the weight at a time are turned, a pair of inputs being one number of 32 bits.</summary>
    /// <param name="panel">[grains / 2, 64, 2]; what is beyond the rows and the depth is zero</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackRows(ushort* w, long row, int depth, int grains, int rows, ushort* panel)
    {
        for (int n = 0; n < Width; n += 16, w += 16 * row)
        {
            ushort* to = panel + 2 * n;
            int k = 0;
            if (n + 16 <= rows)
                for (; k + 32 <= depth; k += 32) Turn(w + k, row, (uint*)to + k / 2 * Width);
            for (; k < grains; k++)
                for (int i = 0; i < 16; i++) to[k / 2 * 2 * Width + 2 * i + k % 2] = n + i < rows && k < depth ? w[i * row + k] : (ushort)0;
        }
    }

    /// <summary>Sixteen rows of sixteen pairs become sixteen columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Turn(ushort* w, long row, uint* to)
    {
        Vector512<uint> a0 = Row(w, row, 0), a1 = Row(w, row, 1), a2 = Row(w, row, 2), a3 = Row(w, row, 3), a4 = Row(w, row, 4), a5 = Row(w, row, 5), a6 = Row(w, row, 6), a7 = Row(w, row, 7);
        Vector512<uint> a8 = Row(w, row, 8), a9 = Row(w, row, 9), aA = Row(w, row, 10), aB = Row(w, row, 11), aC = Row(w, row, 12), aD = Row(w, row, 13), aE = Row(w, row, 14), aF = Row(w, row, 15);
        Four(a0, a1, a2, a3, out var p0, out var p1, out var p2, out var p3);
        Four(a4, a5, a6, a7, out var q0, out var q1, out var q2, out var q3);
        Four(a8, a9, aA, aB, out var r0, out var r1, out var r2, out var r3);
        Four(aC, aD, aE, aF, out var s0, out var s1, out var s2, out var s3);
        Lanes(p0, q0, r0, s0, to);
        Lanes(p1, q1, r1, s1, to + Width);
        Lanes(p2, q2, r2, s2, to + 2 * Width);
        Lanes(p3, q3, r3, s3, to + 3 * Width);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Row(ushort* w, long row, int i)
    {
        uint* at = (uint*)(w + i * row);
        Sse.Prefetch0(w + (i + 16) * row); // the next sixteen
        return Vector512.Load(at);
    }

    /// <summary>Within each of four lanes, four rows of four become four columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Four(Vector512<uint> a, Vector512<uint> b, Vector512<uint> c, Vector512<uint> d, out Vector512<uint> w, out Vector512<uint> x, out Vector512<uint> y, out Vector512<uint> z)
    {
        Vector512<ulong> p = Avx512F.UnpackLow(a, b).AsUInt64(), q = Avx512F.UnpackHigh(a, b).AsUInt64(), r = Avx512F.UnpackLow(c, d).AsUInt64(), s = Avx512F.UnpackHigh(c, d).AsUInt64();
        w = Avx512F.UnpackLow(p, r).AsUInt32();
        x = Avx512F.UnpackHigh(p, r).AsUInt32();
        y = Avx512F.UnpackLow(q, s).AsUInt32();
        z = Avx512F.UnpackHigh(q, s).AsUInt32();
    }

    /// <summary>The lanes of four vectors become columns 0, 4, 8 and 12.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Lanes(Vector512<uint> p, Vector512<uint> q, Vector512<uint> r, Vector512<uint> s, uint* to)
    {
        Vector512<uint> a = Avx512F.Shuffle4x128(p, q, 0x44), b = Avx512F.Shuffle4x128(r, s, 0x44), c = Avx512F.Shuffle4x128(p, q, 0xEE), d = Avx512F.Shuffle4x128(r, s, 0xEE);
        Vector512.Store(Avx512F.Shuffle4x128(a, b, 0x88), to);
        Vector512.Store(Avx512F.Shuffle4x128(a, b, 0xDD), to + 4 * Width);
        Vector512.Store(Avx512F.Shuffle4x128(c, d, 0x88), to + 8 * Width);
        Vector512.Store(Avx512F.Shuffle4x128(c, d, 0xDD), to + 12 * Width);
    }

    /// <summary>AVX512_BF16, in leaf 7.1 of what the processor says of itself; without it oneDNN's kernel imitates the instruction.</summary>
    private static bool HasPairs() => X86Base.CpuId(7, 0).Eax >= 1 && (X86Base.CpuId(7, 1).Eax & 1 << 5) != 0;

    /// <summary>Small whole numbers, whose products are exact.</summary>
    private static bool ComputesProducts()
    {
        const int Rows = 11, Inputs = 48, Outputs = 70;
        float* x = stackalloc float[Rows * Inputs], y = stackalloc float[Rows * Outputs]; // the thread's scratch may be in use
        ushort* taken = stackalloc ushort[(int)Room(Rows, Inputs, columns: false)], w = stackalloc ushort[Inputs * Outputs];
        for (int i = 0; i < Rows * Inputs; i++) x[i] = i % 7 - 3;
        for (int i = 0; i < Inputs * Outputs; i++) w[i] = BFloat16.Narrow(i % 5 - 2);
        Take(x, Inputs, Rows, Inputs, columns: false, taken, 0, Rows);
        Multiply(taken, w, null, columns: false, Rows, Inputs, Outputs, y, null, Outputs, 0, Outputs);
        for (int m = 0; m < Rows; m++)
        {
            for (int n = 0; n < Outputs; n++)
            {
                int sum = 0;
                for (int k = 0; k < Inputs; k++) sum += ((m * Inputs + k) % 7 - 3) * ((n * Inputs + k) % 5 - 2);
                if (y[m * Outputs + n] != sum) return false;
            }
        }
        return true;
    }
}
