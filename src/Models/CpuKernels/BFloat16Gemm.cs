using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// y = x W + b in bfloat16, summed in float32, by the processor's products of pairs (vdpbf16ps, AMX), which .NET does not offer and
/// libtorch's own micro-kernel does. It wants the weight in panels of 64 outputs in which the numbers of two inputs lie beside each
/// other; here they are packed, and each panel is used for all rows while it is in the cache.
/// </summary>
/// <remarks>
/// The kernel is <c>at::native::cpublas::brgemm</c> (oneDNN's), through the C++ symbol that libtorch exports on Linux. Where it is
/// missing, or does not compute what it should, these products are libtorch's.
/// </remarks>
internal static unsafe class BFloat16Gemm
{
    /// <summary>Fewer rows are as quick with the other kernels, which give a row the same numbers alone and in company.</summary>
    private const int MinRows = 9;

    /// <summary>Rows at a time. The kernel is compiled anew for each number of rows and of inputs, so both are padded: the inputs to a multiple of Grain.</summary>
    private const int MaxRowBlock = 64, KAlignment = 32;

    /// <summary>Outputs of a panel.</summary>
    private const int NR = 64;

    /// <summary>Inputs of a panel, of a weight whose rows are outputs and of one whose columns are: one after the other is summed and added up.</summary>
    private const int OutputMajorKC = 2048, InputMajorKC = 256;

    /// <summary>Numbers of the panels that are packed at a time: where there are many rows each part of them is used for all of these while it is in the cache.</summary>
    private const int PackedBlockElements = 160 << 10;

    /// <summary>Up to so many rows all panels of some of the weight's rows are used before the next rows are read, where columns are outputs.</summary>
    private const int MaxRowsForAllPanels = 64;

    private static readonly delegate* unmanaged<long, long, long, long, long, long, byte, ushort*, ushort*, float*, byte, void> _brgemm;
    private static readonly delegate* unmanaged<byte, void> _brgemmRelease;
    private static readonly bool _isSupported;

    static BFloat16Gemm()
    {
        if (!Avx512BW.IsSupported || !HasAvx512BFloat16() || !OperatingSystem.IsLinux()) return;
        using (ones(1)) { } // libtorch is loaded by the first tensor
        if (!NativeLibrary.TryLoad("libtorch_cpu.so", out nint torch)
            || !NativeLibrary.TryGetExport(torch, "_ZN2at6native7cpublas6brgemmEllllllbPKN3c108BFloat16ES5_Pfb", out nint multiply)
            || !NativeLibrary.TryGetExport(torch, "_ZN2at6native7cpublas14brgemm_releaseEb", out nint release)) return;
        _brgemmRelease = (delegate* unmanaged<byte, void>)release;
        _brgemm = (delegate* unmanaged<long, long, long, long, long, long, byte, ushort*, ushort*, float*, byte, void>)multiply;
        _isSupported = PassesSelfTest();
    }

    /// <summary>Whether this libtorch and this processor support these kernels, and <see cref="CpuCapabilities.Max"/> permits them.</summary>
    public static bool IsAvailable => CpuCapabilities.Allows(CpuCapability.Avx512BFloat16) && _isSupported;

    /// <summary>Whether so many rows of this type are for these kernels.</summary>
    public static bool Supports(ScalarType dtype, int rows) => rows >= MinRows && dtype == ScalarType.BFloat16 && IsAvailable;

    /// <summary>Scratch of the thread's own, for what <see cref="PackInput"/> writes of so many rows.</summary>
    public static ushort* ScratchForPackedInput(int rows, int inFeatures, bool isInputMajor) => (ushort*)ScratchBuffer.GetFloats(6, (PackedLength(rows, inFeatures, isInputMajor) + 1) / 2);

    /// <summary>How many numbers <see cref="PackInput"/> writes.</summary>
    private static long PackedLength(int rows, int inFeatures, bool isInputMajor)
    {
        int deep = BlockDepth(inFeatures, isInputMajor);
        return (long)(inFeatures + deep - 1) / deep * deep * PadRowCount(rows);
    }

    /// <summary>
    /// Some rows as <see cref="Multiply"/> reads them: [blocks of inFeatures, padded batch, inFeatures of a block], and zeros where there is none.
    /// Who takes the last row takes those behind it too.
    /// </summary>
    /// <param name="x">Rows of pitch numbers, in bfloat16's precision already.</param>
    /// <param name="destination">What <see cref="ScratchForPackedInput"/> gave.</param>
    public static void PackInput(float* x, long xStride, int rows, int inFeatures, bool isInputMajor, ushort* destination, int first, int last)
    {
        int deep = BlockDepth(inFeatures, isInputMajor), padded = PadRowCount(rows);
        for (int k = 0; k < inFeatures; k += deep, destination += (long)deep * padded)
        {
            int depth = Math.Min(deep, inFeatures - k);
            for (int m = first; m < last; m++)
            {
                BFloat16.Narrow(x + m * xStride + k, destination + (long)m * deep, depth);
                new Span<ushort>(destination + (long)m * deep + depth, deep - depth).Clear();
            }
            if (last == rows) new Span<ushort>(destination + (long)rows * deep, (padded - rows) * deep).Clear();
        }
    }

    /// <summary>y = x W + b for the outputs from first to last.</summary>
    /// <param name="x">What <see cref="PackInput"/> wrote.</param>
    /// <param name="w">[outFeatures, inFeatures], or [inFeatures, outFeatures] if the columns are outputs</param>
    /// <param name="bias">[outFeatures], or null</param>
    /// <param name="y">Rows of stride numbers: not rounded; or null</param>
    /// <param name="yBFloat16">The same rounded, if there is no y.</param>
    public static void Multiply(ushort* x, ushort* w, ushort* bias, bool isInputMajor, int rows, int inFeatures, int outFeatures, float* y, ushort* yBFloat16, long yStride, int first, int last)
    {
        int padded = PadRowCount(rows), panels = (last - first + NR - 1) / NR, deep = BlockDepth(inFeatures, isInputMajor);
        int abreast = padded <= MaxRowBlock ? 1 : Math.Clamp(PackedBlockElements / (deep * NR), 1, panels), together = isInputMajor && rows <= MaxRowsForAllPanels ? panels : abreast;
        float* sums = ScratchBuffer.GetFloats(3, (long)together * padded * NR + (long)abreast * deep * NR / 2);
        ushort* packed = (ushort*)(sums + (long)together * padded * NR);
        for (int group = 0; group < panels; group += together)
        {
            int end = Math.Min(group + together, panels);
            for (int k = 0; k < inFeatures; k += deep)
            {
                int depth = Math.Min(deep, inFeatures - k), grains = (depth + KAlignment - 1) / KAlignment * KAlignment;
                for (int from = group; from < end; from += abreast)
                {
                    int to = Math.Min(from + abreast, end);
                    for (int p = from; p < to; p++)
                    {
                        int n = first + p * NR;
                        ushort* panel = packed + (long)(p - from) * deep * NR;
                        if (isInputMajor) PackInputMajor(w + (long)k * outFeatures + n, outFeatures, depth, grains, Math.Min(NR, last - n), panel);
                        else PackOutputMajor(w + (long)n * inFeatures + k, inFeatures, depth, grains, Math.Min(NR, last - n), panel);
                    }
                    for (int m = 0; m < padded; m += MaxRowBlock)
                        for (int p = from; p < to; p++)
                            _brgemm(Math.Min(MaxRowBlock, padded - m), NR, grains, deep, NR, NR, k > 0 ? (byte)1 : (byte)0,
                                x + (long)k * padded + (long)m * deep, packed + (long)(p - from) * deep * NR, sums + ((long)(p - group) * padded + m) * NR, 1);
                }
            }
            for (int p = group; p < end; p++)
            {
                int n = first + p * NR;
                int count = Math.Min(NR, last - n);
                for (int m = 0; m < rows; m++)
                {
                    float* row = sums + ((long)(p - group) * padded + m) * NR;
                    if (y is not null) AddBias(row, bias is null ? null : bias + n, y + m * yStride + n, count);
                    else if (bias is null) BFloat16.Narrow(row, yBFloat16 + m * yStride + n, count);
                    else
                    {
                        AddBias(row, bias + n, row, count);
                        BFloat16.Narrow(row, yBFloat16 + m * yStride + n, count);
                    }
                }
            }
        }
        _brgemmRelease(1);
    }

    private static int PadRowCount(int rows) => rows <= 32 ? rows + rows % 2 : (rows + 7) / 8 * 8;

    /// <summary>Inputs of a block.</summary>
    private static int BlockDepth(int inFeatures, bool isInputMajor) => Math.Min((inFeatures + KAlignment - 1) / KAlignment * KAlignment, isInputMajor ? InputMajorKC : OutputMajorKC);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddBias(float* sums, ushort* bias, float* y, int count)
    {
        int i = 0;
        for (; i + 16 <= count; i += 16) Vector512.Store(bias is null ? Vector512.Load(sums + i) : Vector512.Load(sums + i) + BFloat16.Load((byte*)(bias + i)), y + i);
        for (; i < count; i++) y[i] = bias is null ? sums[i] : sums[i] + BFloat16.ToSingle(bias[i]);
    }

    /// <summary>Two rows of the weight become one of pairs.</summary>
    /// <param name="panel">[grains / 2, 64, 2]; what is beyond the columns and the depth is zero</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackInputMajor(ushort* w, long wStride, int depth, int paddedDepth, int columns, ushort* panel)
    {
        Vector512<ushort> lower = Pairs(0), upper = Pairs(16);
        ushort* apart = stackalloc ushort[2 * NR]; // two rows of which something is missing
        new Span<ushort>(apart, 2 * NR).Clear();
        long ahead = 8 * wStride;
        for (int k = 0; k < paddedDepth; k += 2, w += 2 * wStride, panel += 2 * NR)
        {
            ushort* even = w, odd = w + wStride;
            if (columns < NR || k + 1 >= depth)
            {
                even = apart;
                odd = apart + NR;
                for (int i = 0; i < 2; i++)
                {
                    if (k + i < depth) new Span<ushort>(w + i * wStride, columns).CopyTo(new Span<ushort>(apart + i * NR, columns));
                    else new Span<ushort>(apart + i * NR, columns).Clear();
                }
            }
            Sse.Prefetch0(w + ahead);
            Sse.Prefetch0(w + ahead + 32);
            Sse.Prefetch0(w + ahead + wStride);
            Sse.Prefetch0(w + ahead + wStride + 32);
            for (int n = 0; n < NR; n += 32)
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
    private static void PackOutputMajor(ushort* w, long wStride, int depth, int paddedDepth, int rows, ushort* panel)
    {
        for (int n = 0; n < NR; n += 16, w += 16 * wStride)
        {
            ushort* to = panel + 2 * n;
            int k = 0;
            if (n + 16 <= rows)
                for (; k + 32 <= depth; k += 32) Transpose16x16(w + k, wStride, (uint*)to + k / 2 * NR);
            for (; k < paddedDepth; k++)
                for (int i = 0; i < 16; i++) to[k / 2 * 2 * NR + 2 * i + k % 2] = n + i < rows && k < depth ? w[i * wStride + k] : (ushort)0;
        }
    }

    /// <summary>Sixteen rows of sixteen pairs become sixteen columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose16x16(ushort* w, long wStride, uint* destination)
    {
        Vector512<uint> a0 = LoadRow(w, wStride, 0), a1 = LoadRow(w, wStride, 1), a2 = LoadRow(w, wStride, 2), a3 = LoadRow(w, wStride, 3), a4 = LoadRow(w, wStride, 4), a5 = LoadRow(w, wStride, 5), a6 = LoadRow(w, wStride, 6), a7 = LoadRow(w, wStride, 7);
        Vector512<uint> a8 = LoadRow(w, wStride, 8), a9 = LoadRow(w, wStride, 9), aA = LoadRow(w, wStride, 10), aB = LoadRow(w, wStride, 11), aC = LoadRow(w, wStride, 12), aD = LoadRow(w, wStride, 13), aE = LoadRow(w, wStride, 14), aF = LoadRow(w, wStride, 15);
        Transpose4x4(a0, a1, a2, a3, out var p0, out var p1, out var p2, out var p3);
        Transpose4x4(a4, a5, a6, a7, out var q0, out var q1, out var q2, out var q3);
        Transpose4x4(a8, a9, aA, aB, out var r0, out var r1, out var r2, out var r3);
        Transpose4x4(aC, aD, aE, aF, out var s0, out var s1, out var s2, out var s3);
        TransposeLanes(p0, q0, r0, s0, destination);
        TransposeLanes(p1, q1, r1, s1, destination + NR);
        TransposeLanes(p2, q2, r2, s2, destination + 2 * NR);
        TransposeLanes(p3, q3, r3, s3, destination + 3 * NR);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> LoadRow(ushort* w, long wStride, int i)
    {
        uint* at = (uint*)(w + i * wStride);
        Sse.Prefetch0(w + (i + 16) * wStride); // the next sixteen
        return Vector512.Load(at);
    }

    /// <summary>Within each of four lanes, four rows of four become four columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose4x4(Vector512<uint> a, Vector512<uint> b, Vector512<uint> c, Vector512<uint> d, out Vector512<uint> w, out Vector512<uint> x, out Vector512<uint> y, out Vector512<uint> z)
    {
        Vector512<ulong> p = Avx512F.UnpackLow(a, b).AsUInt64(), q = Avx512F.UnpackHigh(a, b).AsUInt64(), r = Avx512F.UnpackLow(c, d).AsUInt64(), s = Avx512F.UnpackHigh(c, d).AsUInt64();
        w = Avx512F.UnpackLow(p, r).AsUInt32();
        x = Avx512F.UnpackHigh(p, r).AsUInt32();
        y = Avx512F.UnpackLow(q, s).AsUInt32();
        z = Avx512F.UnpackHigh(q, s).AsUInt32();
    }

    /// <summary>The lanes of four vectors become columns 0, 4, 8 and 12.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TransposeLanes(Vector512<uint> p, Vector512<uint> q, Vector512<uint> r, Vector512<uint> s, uint* destination)
    {
        Vector512<uint> a = Avx512F.Shuffle4x128(p, q, 0x44), b = Avx512F.Shuffle4x128(r, s, 0x44), c = Avx512F.Shuffle4x128(p, q, 0xEE), d = Avx512F.Shuffle4x128(r, s, 0xEE);
        Vector512.Store(Avx512F.Shuffle4x128(a, b, 0x88), destination);
        Vector512.Store(Avx512F.Shuffle4x128(a, b, 0xDD), destination + 4 * NR);
        Vector512.Store(Avx512F.Shuffle4x128(c, d, 0x88), destination + 8 * NR);
        Vector512.Store(Avx512F.Shuffle4x128(c, d, 0xDD), destination + 12 * NR);
    }

    /// <summary>AVX512_BF16, in leaf 7.1 of what the processor says of itself; without it oneDNN's kernel imitates the instruction.</summary>
    private static bool HasAvx512BFloat16() => X86Base.CpuId(7, 0).Eax >= 1 && (X86Base.CpuId(7, 1).Eax & 1 << 5) != 0;

    /// <summary>Small whole numbers, whose products are exact.</summary>
    private static bool PassesSelfTest()
    {
        const int Rows = 11, Inputs = 48, Outputs = 70;
        float* x = stackalloc float[Rows * Inputs], y = stackalloc float[Rows * Outputs]; // the thread's scratch may be in use
        ushort* taken = stackalloc ushort[(int)PackedLength(Rows, Inputs, isInputMajor: false)], w = stackalloc ushort[Inputs * Outputs];
        for (int i = 0; i < Rows * Inputs; i++) x[i] = i % 7 - 3;
        for (int i = 0; i < Inputs * Outputs; i++) w[i] = BFloat16.Narrow(i % 5 - 2);
        PackInput(x, Inputs, Rows, Inputs, isInputMajor: false, taken, 0, Rows);
        Multiply(taken, w, null, isInputMajor: false, Rows, Inputs, Outputs, y, null, Outputs, 0, Outputs);
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
