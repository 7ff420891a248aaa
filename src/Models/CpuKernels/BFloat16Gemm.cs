using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// y = x W + b in bfloat16 with float32 accumulation, by libtorch's batch-reduce GEMM micro-kernel (AVX512_BF16 or AMX), whose
/// instructions .NET does not expose.
/// <code>
///   x [batch, inFeatures]   ->  packed blocks  [inFeatures / KC, batch padded, KC]
///   W                       ->  packed panels  [KC / 2, NR, 2]          two input features interleaved (VNNI layout)
///   y [batch, NR]            =  sum over KC blocks of  block [MR, KC] x panel [KC, NR]
/// </code>
/// 1. <see cref="PackInput"/> narrows the input to bfloat16 and packs it into blocks of KC input features.
/// 2. <see cref="Multiply"/> iterates over groups of panels (NR = 64 output features each), and for each group over the KC blocks.
/// 3. It packs as many panels of the weight as fit the cache; these are used for all rows of the input.
/// 4. It calls the micro-kernel for each row block (at most <see cref="MaxRowBlock"/> rows) and panel; the sums accumulate over KC blocks.
/// 5. When all KC blocks of a group are summed, it adds the bias and writes the rows as float32 or rounded to bfloat16.
/// </summary>
/// <remarks>
/// The kernel is <c>at::native::cpublas::brgemm</c> (oneDNN's), called through the C++ symbol that libtorch exports on Linux. Where the
/// symbol is missing, or a self test of the kernel fails, libtorch computes these products.
/// </remarks>
internal static unsafe class BFloat16Gemm
{
    /// <summary>
    /// Below this number of rows <see cref="GemmNN"/> and <see cref="GemmNT"/> are as fast, and a row gives the same values alone and
    /// in a batch.
    /// </summary>
    private const int MinRows = 9;

    /// <summary>MR: the rows of the input that one call of the micro-kernel multiplies, at most.</summary>
    private const int MaxRowBlock = 64;

    /// <summary>
    /// oneDNN compiles a kernel for each shape, so the depth of a block is padded to a multiple of this, and the rows too.
    /// </summary>
    private const int KAlignment = 32;

    /// <summary>The output features of one panel.</summary>
    private const int NR = 64;

    /// <summary>KC, the input features of one panel, of a weight [outFeatures, inFeatures].</summary>
    private const int OutputMajorKC = 2048;

    /// <summary>KC of a weight [inFeatures, outFeatures].</summary>
    private const int InputMajorKC = 256;

    /// <summary>
    /// The elements of the panels that are packed at a time when there are several row blocks: they stay in the second-level cache.
    /// </summary>
    private const int PackedBlockElements = 160 << 10;

    /// <summary>
    /// Up to this number of rows, all panels of a KC block are used before the next block of an input-major weight is read.
    /// </summary>
    private const int MaxRowsForAllPanels = 64;

    private static readonly delegate* unmanaged<long, long, long, long, long, long, byte, ushort*, ushort*, float*, byte, void> _brgemm;
    private static readonly delegate* unmanaged<byte, void> _brgemmRelease;
    private static readonly bool _isSupported;

    static BFloat16Gemm()
    {
        if (!Avx512BW.IsSupported || !HasAvx512BFloat16() || !OperatingSystem.IsLinux()) return;
        using (ones(1)) { } // the first tensor loads libtorch
        if (!NativeLibrary.TryLoad("libtorch_cpu.so", out nint torch)
            || !NativeLibrary.TryGetExport(torch, "_ZN2at6native7cpublas6brgemmEllllllbPKN3c108BFloat16ES5_Pfb", out nint multiply)
            || !NativeLibrary.TryGetExport(torch, "_ZN2at6native7cpublas14brgemm_releaseEb", out nint release)) return;
        _brgemmRelease = (delegate* unmanaged<byte, void>)release;
        _brgemm = (delegate* unmanaged<long, long, long, long, long, long, byte, ushort*, ushort*, float*, byte, void>)multiply;
        _isSupported = PassesSelfTest();
    }

    /// <summary>
    /// Whether this libtorch and this processor support these kernels, and <see cref="CpuCapabilities.Max"/> permits them.
    /// </summary>
    public static bool IsAvailable => CpuCapabilities.Allows(CpuCapability.Avx512BFloat16) && _isSupported;

    /// <summary>Whether the kernel computes products of this many rows of this element type.</summary>
    public static bool Supports(ScalarType dtype, int rows) => rows >= MinRows && dtype == ScalarType.BFloat16 && IsAvailable;

    /// <summary>Thread-local memory for the output of <see cref="PackInput"/>.</summary>
    public static ushort* ScratchForPackedInput(int rows, int inFeatures, bool isInputMajor) =>
        (ushort*)ScratchBuffer.GetFloats(6, (PackedLength(rows, inFeatures, isInputMajor) + 1) / 2);

    /// <summary>The number of elements that <see cref="PackInput"/> writes.</summary>
    private static long PackedLength(int rows, int inFeatures, bool isInputMajor)
    {
        int kc = BlockDepth(inFeatures, isInputMajor);
        return (long)(inFeatures + kc - 1) / kc * kc * PadRowCount(rows);
    }

    /// <summary>
    /// Step 1 for the rows from <paramref name="first"/> to <paramref name="last"/>: writes them as [inFeatures / KC, batch padded, KC]
    /// with zeros as padding. The call for the last row also clears the padding rows.
    /// </summary>
    /// <param name="x">
    /// [batch, inFeatures] with <paramref name="xStride"/> elements between rows; the values are already rounded to bfloat16.
    /// </param>
    /// <param name="destination">The memory that <see cref="ScratchForPackedInput"/> returned.</param>
    public static void PackInput(float* x, long xStride, int rows, int inFeatures, bool isInputMajor, ushort* destination, int first,
        int last)
    {
        int kc = BlockDepth(inFeatures, isInputMajor), paddedRows = PadRowCount(rows);
        for (int k = 0; k < inFeatures; k += kc, destination += (long)kc * paddedRows)
        {
            int depth = Math.Min(kc, inFeatures - k);
            for (int m = first; m < last; m++)
            {
                BFloat16.Narrow(x + m * xStride + k, destination + (long)m * kc, depth);
                new Span<ushort>(destination + (long)m * kc + depth, kc - depth).Clear();
            }
            if (last == rows) new Span<ushort>(destination + (long)rows * kc, (paddedRows - rows) * kc).Clear();
        }
    }

    /// <summary>Steps 2 to 5: y = x W + b for the output features from <paramref name="first"/> to <paramref name="last"/>.</summary>
    /// <param name="x">The packed input, see <see cref="PackInput"/>.</param>
    /// <param name="w">[outFeatures, inFeatures], or [inFeatures, outFeatures] if <paramref name="isInputMajor"/></param>
    /// <param name="bias">[outFeatures], or null</param>
    /// <param name="y">The float32 result with <paramref name="yStride"/> elements between rows, or null.</param>
    /// <param name="yBFloat16">The result rounded to bfloat16, if <paramref name="y"/> is null.</param>
    public static void Multiply(ushort* x, ushort* w, ushort* bias, bool isInputMajor, int rows, int inFeatures, int outFeatures, float* y,
        ushort* yBFloat16, long yStride, int first, int last)
    {
        int paddedRows = PadRowCount(rows), panels = (last - first + NR - 1) / NR, kc = BlockDepth(inFeatures, isInputMajor);
        int packedPanels = paddedRows <= MaxRowBlock ? 1 : Math.Clamp(PackedBlockElements / (kc * NR), 1, panels);
        int groupSize = isInputMajor && rows <= MaxRowsForAllPanels ? panels : packedPanels;
        // [groupSize, batch padded, NR]
        float* sums = ScratchBuffer.GetFloats(3, (long)groupSize * paddedRows * NR + (long)packedPanels * kc * NR / 2);
        // [packedPanels, KC / 2, NR, 2]
        ushort* packed = (ushort*)(sums + (long)groupSize * paddedRows * NR);
        for (int group = 0; group < panels; group += groupSize) // 2
        {
            int groupEnd = Math.Min(group + groupSize, panels);
            for (int k = 0; k < inFeatures; k += kc)
            {
                int depth = Math.Min(kc, inFeatures - k), paddedDepth = (depth + KAlignment - 1) / KAlignment * KAlignment;
                for (int from = group; from < groupEnd; from += packedPanels)
                {
                    int to = Math.Min(from + packedPanels, groupEnd);
                    for (int p = from; p < to; p++) // 3
                    {
                        int n = first + p * NR;
                        ushort* panel = packed + (long)(p - from) * kc * NR;
                        if (isInputMajor)
                            PackInputMajor(w + (long)k * outFeatures + n, outFeatures, depth, paddedDepth, Math.Min(NR, last - n), panel);
                        else
                            PackOutputMajor(w + (long)n * inFeatures + k, inFeatures, depth, paddedDepth, Math.Min(NR, last - n), panel);
                    }
                    for (int m = 0; m < paddedRows; m += MaxRowBlock) // 4
                        for (int p = from; p < to; p++)
                            _brgemm(Math.Min(MaxRowBlock, paddedRows - m), NR, paddedDepth, kc, NR, NR, k > 0 ? (byte)1 : (byte)0,
                                x + (long)k * paddedRows + (long)m * kc, packed + (long)(p - from) * kc * NR,
                                sums + ((long)(p - group) * paddedRows + m) * NR, 1);
                }
            }
            for (int p = group; p < groupEnd; p++) // 5
            {
                int n = first + p * NR, count = Math.Min(NR, last - n);
                for (int m = 0; m < rows; m++)
                {
                    float* row = sums + ((long)(p - group) * paddedRows + m) * NR;
                    if (y is not null)
                    {
                        AddBias(row, bias is null ? null : bias + n, y + m * yStride + n, count);
                        continue;
                    }
                    if (bias is not null) AddBias(row, bias + n, row, count);
                    BFloat16.Narrow(row, yBFloat16 + m * yStride + n, count);
                }
            }
        }
        _brgemmRelease(1);
    }

    private static int PadRowCount(int rows) => rows <= 32 ? rows + rows % 2 : (rows + 7) / 8 * 8;

    /// <summary>KC: the input features of one block, for a weight with this number of them.</summary>
    private static int BlockDepth(int inFeatures, bool isInputMajor) =>
        Math.Min((inFeatures + KAlignment - 1) / KAlignment * KAlignment, isInputMajor ? InputMajorKC : OutputMajorKC);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddBias(float* sums, ushort* bias, float* y, int count)
    {
        int i = 0;
        for (; i + 16 <= count; i += 16)
            Vector512.Store(bias is null ? Vector512.Load(sums + i) : Vector512.Load(sums + i) + BFloat16.Load((byte*)(bias + i)), y + i);
        for (; i < count; i++) y[i] = bias is null ? sums[i] : sums[i] + BFloat16.ToSingle(bias[i]);
    }

    /// <summary>Packs a panel of a weight [inFeatures, outFeatures]: two rows of the weight become one row of pairs.</summary>
    /// <param name="panel">[paddedDepth / 2, NR, 2]; zero beyond the columns and the depth</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackInputMajor(ushort* w, long wStride, int depth, int paddedDepth, int columns, ushort* panel)
    {
        Vector512<ushort> lower = InterleaveIndices(0), upper = InterleaveIndices(16);
        ushort* edge = stackalloc ushort[2 * NR]; // two rows of which columns or depth are missing, padded with zeros
        new Span<ushort>(edge, 2 * NR).Clear();
        long prefetchDistance = 8 * wStride;
        for (int k = 0; k < paddedDepth; k += 2, w += 2 * wStride, panel += 2 * NR)
        {
            ushort* even = w, odd = w + wStride;
            if (columns < NR || k + 1 >= depth)
            {
                even = edge;
                odd = edge + NR;
                for (int i = 0; i < 2; i++)
                {
                    if (k + i < depth) new Span<ushort>(w + i * wStride, columns).CopyTo(new Span<ushort>(edge + i * NR, columns));
                    else new Span<ushort>(edge + i * NR, columns).Clear();
                }
            }
            Sse.Prefetch0(w + prefetchDistance);
            Sse.Prefetch0(w + prefetchDistance + 32);
            Sse.Prefetch0(w + prefetchDistance + wStride);
            Sse.Prefetch0(w + prefetchDistance + wStride + 32);
            for (int n = 0; n < NR; n += 32)
            {
                Vector512<ushort> p = Vector512.Load(even + n), q = Vector512.Load(odd + n);
                Vector512.Store(Avx512BW.PermuteVar32x16x2(p, lower, q), panel + 2 * n);
                Vector512.Store(Avx512BW.PermuteVar32x16x2(p, upper, q), panel + 2 * n + 32);
            }
        }

        static Vector512<ushort> InterleaveIndices(int from)
        {
            Span<ushort> indices = stackalloc ushort[32];
            for (int i = 0; i < 32; i++) indices[i] = (ushort)(from + i / 2 + i % 2 * 32);
            return Vector512.Create<ushort>(indices);
        }
    }

    /// <summary>
    /// Packs a panel of a weight [outFeatures, inFeatures]: sixteen rows at a time are transposed, with a pair of input features as one
    /// element of 32 bits.
    /// </summary>
    /// <param name="panel">[paddedDepth / 2, NR, 2]; zero beyond the rows and the depth</param>
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
                for (int i = 0; i < 16; i++)
                    to[k / 2 * 2 * NR + 2 * i + k % 2] = n + i < rows && k < depth ? w[i * wStride + k] : (ushort)0;
        }
    }

    /// <summary>Transposes sixteen rows of sixteen pairs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose16x16(ushort* w, long wStride, uint* destination)
    {
        Vector512<uint> a0 = LoadRow(w, wStride, 0), a1 = LoadRow(w, wStride, 1), a2 = LoadRow(w, wStride, 2), a3 = LoadRow(w, wStride, 3),
            a4 = LoadRow(w, wStride, 4), a5 = LoadRow(w, wStride, 5), a6 = LoadRow(w, wStride, 6), a7 = LoadRow(w, wStride, 7);
        Vector512<uint> a8 = LoadRow(w, wStride, 8), a9 = LoadRow(w, wStride, 9), aA = LoadRow(w, wStride, 10),
            aB = LoadRow(w, wStride, 11), aC = LoadRow(w, wStride, 12), aD = LoadRow(w, wStride, 13), aE = LoadRow(w, wStride, 14),
            aF = LoadRow(w, wStride, 15);
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
        Sse.Prefetch0(w + (i + 16) * wStride); // the next sixteen rows
        return Vector512.Load(at);
    }

    /// <summary>Transposes the 4 x 4 elements within each of the four 128-bit lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose4x4(Vector512<uint> a, Vector512<uint> b, Vector512<uint> c, Vector512<uint> d, out Vector512<uint> w,
        out Vector512<uint> x, out Vector512<uint> y, out Vector512<uint> z)
    {
        Vector512<ulong> p = Avx512F.UnpackLow(a, b).AsUInt64(), q = Avx512F.UnpackHigh(a, b).AsUInt64(),
            r = Avx512F.UnpackLow(c, d).AsUInt64(), s = Avx512F.UnpackHigh(c, d).AsUInt64();
        w = Avx512F.UnpackLow(p, r).AsUInt32();
        x = Avx512F.UnpackHigh(p, r).AsUInt32();
        y = Avx512F.UnpackLow(q, s).AsUInt32();
        z = Avx512F.UnpackHigh(q, s).AsUInt32();
    }

    /// <summary>Stores the lanes of four vectors as rows 0, 4, 8 and 12 of the transposed block.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TransposeLanes(Vector512<uint> p, Vector512<uint> q, Vector512<uint> r, Vector512<uint> s, uint* destination)
    {
        Vector512<uint> a = Avx512F.Shuffle4x128(p, q, 0x44), b = Avx512F.Shuffle4x128(r, s, 0x44), c = Avx512F.Shuffle4x128(p, q, 0xEE),
            d = Avx512F.Shuffle4x128(r, s, 0xEE);
        Vector512.Store(Avx512F.Shuffle4x128(a, b, 0x88), destination);
        Vector512.Store(Avx512F.Shuffle4x128(a, b, 0xDD), destination + 4 * NR);
        Vector512.Store(Avx512F.Shuffle4x128(c, d, 0x88), destination + 8 * NR);
        Vector512.Store(Avx512F.Shuffle4x128(c, d, 0xDD), destination + 12 * NR);
    }

    /// <summary>
    /// Whether the processor has AVX512_BF16 (CPUID leaf 7, subleaf 1), and oneDNN is permitted to use it: where the instruction sets are
    /// limited, oneDNN throws an exception that ends the process.
    /// </summary>
    private static bool HasAvx512BFloat16() =>
        (Environment.GetEnvironmentVariable("ONEDNN_MAX_CPU_ISA") ?? Environment.GetEnvironmentVariable("DNNL_MAX_CPU_ISA"))
            is null or "" or "ALL" or "DEFAULT" or "AVX512_CORE_BF16" or "AVX512_CORE_FP16" or "AVX512_CORE_AMX" or "AVX512_CORE_AMX_FP16"
        && X86Base.CpuId(7, 0).Eax >= 1 && (X86Base.CpuId(7, 1).Eax & 1 << 5) != 0;

    /// <summary>Multiplies small integers, whose products are exact.</summary>
    private static bool PassesSelfTest()
    {
        const int Rows = 11, InFeatures = 48, OutFeatures = 70;
        // not the thread's scratch buffers, which the caller may be using
        float* x = stackalloc float[Rows * InFeatures], y = stackalloc float[Rows * OutFeatures];
        ushort* packed = stackalloc ushort[(int)PackedLength(Rows, InFeatures, isInputMajor: false)],
            w = stackalloc ushort[InFeatures * OutFeatures];
        for (int i = 0; i < Rows * InFeatures; i++) x[i] = i % 7 - 3;
        for (int i = 0; i < InFeatures * OutFeatures; i++) w[i] = BFloat16.Narrow(i % 5 - 2);
        PackInput(x, InFeatures, Rows, InFeatures, isInputMajor: false, packed, 0, Rows);
        Multiply(packed, w, null, isInputMajor: false, Rows, InFeatures, OutFeatures, y, null, OutFeatures, 0, OutFeatures);
        for (int m = 0; m < Rows; m++)
        {
            for (int n = 0; n < OutFeatures; n++)
            {
                int sum = 0;
                for (int k = 0; k < InFeatures; k++) sum += ((m * InFeatures + k) % 7 - 3) * ((n * InFeatures + k) % 5 - 2);
                if (y[m * OutFeatures + n] != sum) return false;
            }
        }
        return true;
    }
}
