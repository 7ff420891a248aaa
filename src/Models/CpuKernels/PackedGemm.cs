using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// y += x W in float32 for many rows, with both operands packed so that the micro-kernel reads them sequentially (BLIS).
/// <code>
///   x [batch, inFeatures]  ->  blocks of MR rows      [batch / MR, inFeatures, MR]     once, see <see cref="PackInput"/>
///   W                      ->  panels of NR outputs   [KC, NR]                         widened to float32
///   y [MR, NR]             +=  block [KC, MR] x panel [KC, NR]                         sums in registers
/// </code>
/// 1. For each panel of the output features and each block of KC input features, the weight is packed.
/// 2. The panel is multiplied with each block of rows.
/// </summary>
/// <remarks>
/// The order of a sum is that of the kernels for few rows, bit for bit. <see cref="GemmNN"/> adds the products one by one.
/// <see cref="GemmNT"/> has sixteen partial sums, one for each input feature modulo 16, over up to <see cref="GemmNT.KC"/> features. Here
/// the input features of a weight [outFeatures, inFeatures] are packed in sixteen groups in that order, the micro-kernel sums one group
/// after the other, and the partial sums are added as <see cref="GemmNT"/> adds them.
/// </remarks>
internal static unsafe class PackedGemm
{
    /// <summary>The rows of a block: with two vectors of outputs, 24 of 32 registers hold sums.</summary>
    private const int MR = 12;

    /// <summary>The output features of a panel.</summary>
    private const int NR = 32;

    /// <summary>KC of a weight [inFeatures, outFeatures].</summary>
    private const int InputMajorKC = 512;

    /// <summary>The partial sums of an output feature of a weight [outFeatures, inFeatures].</summary>
    private const int Lanes = 16;

    /// <summary>
    /// The position of the group of each partial sum: pairs, pairs of pairs and so on can be added as soon as they are complete.
    /// </summary>
    private static ReadOnlySpan<byte> LanePosition => [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15];

    /// <summary>The elements that <see cref="PackInput"/> writes for all rows.</summary>
    public static long PackedLength(int rows, int inFeatures) => (long)(rows + MR - 1) / MR * MR * inFeatures;

    /// <summary>The number of row blocks of <see cref="PackInput"/>.</summary>
    public static int BlockCount(int rows) => (rows + MR - 1) / MR;

    /// <summary>Packs the block of rows <paramref name="block"/>; rows that do not exist are zero.</summary>
    /// <param name="x">[batch, inFeatures] with <paramref name="xStride"/> elements between rows</param>
    /// <param name="inFeatures">A multiple of sixteen for an output-major weight.</param>
    /// <param name="packed">[blocks, inFeatures, MR]</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void PackInput(float* x, long xStride, int rows, int inFeatures, bool isInputMajor, float* packed, int block)
    {
        x += (long)block * MR * xStride;
        packed += (long)block * MR * inFeatures;
        rows = Math.Min(MR, rows - block * MR);
        float* zeros = stackalloc float[8];
        new Span<float>(zeros, 8).Clear();
        float** row = stackalloc float*[MR];
        float** to = stackalloc float*[8];
        for (int k0 = 0; k0 < inFeatures; k0 += GemmNT.KC)
        {
            int depth = Math.Min(GemmNT.KC, inFeatures - k0), k = k0;
            for (; k + 8 <= k0 + depth; k += 8)
            {
                for (int m = 0; m < MR; m++) row[m] = m < rows ? x + m * xStride + k : zeros;
                for (int i = 0; i < 8; i++)
                    to[i] = packed + (long)MR * (k0 + (isInputMajor ? k - k0 + i : PositionInLanes(k - k0 + i, depth)));
                Transpose8x8<Float32>((byte*)row[0], (byte*)row[1], (byte*)row[2], (byte*)row[3], (byte*)row[4], (byte*)row[5],
                    (byte*)row[6], (byte*)row[7], to, 0);
                Transpose4x8(row[8], row[9], row[10], row[11], to, 8);
            }
            for (; k < k0 + depth; k++) // only of an input-major weight
                for (int m = 0; m < MR; m++) packed[(long)k * MR + m] = m < rows ? x[m * xStride + k] : 0;
        }
    }

    /// <summary>The position of an input feature among those of a block that are packed by partial sum.</summary>
    private static int PositionInLanes(int k, int depth) => LanePosition[k % Lanes] * (depth / Lanes) + k / Lanes;

    /// <summary>y += x W for the output features from <paramref name="first"/> to <paramref name="last"/>.</summary>
    /// <param name="x">The packed input, see <see cref="PackInput"/>.</param>
    /// <param name="w">[outFeatures, inFeatures], or [inFeatures, outFeatures] if <paramref name="isInputMajor"/></param>
    /// <param name="y">[batch, outFeatures] with <paramref name="yStride"/> elements between rows</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyAdd<T>(float* x, byte* w, bool isInputMajor, int rows, int inFeatures, int outFeatures, float* y,
        long yStride, int first, int last) where T : IElement
    {
        int kc = Math.Min(inFeatures, isInputMajor ? InputMajorKC : GemmNT.KC);
        float* panel = ScratchBuffer.GetFloats(3, (long)kc * NR + 6 * MR * NR), tiles = panel + (long)kc * NR;
        for (int n = first; n < last; n += NR)
        {
            int columns = Math.Min(NR, last - n);
            for (int k = 0; k < inFeatures; k += kc)
            {
                int depth = Math.Min(kc, inFeatures - k);
                if (isInputMajor) PackInputMajor<T>(w + ((long)k * outFeatures + n) * T.Size, outFeatures, depth, columns, panel); // 1
                else PackOutputMajor<T>(w + ((long)n * inFeatures + k) * T.Size, inFeatures, depth, columns, panel);
                for (int m = 0; m < rows; m += MR) // 2
                {
                    float* block = x + (long)m * inFeatures + (long)k * MR;
                    MultiplyBlock(block, panel, depth, isInputMajor, Math.Min(MR, rows - m), columns, y + m * yStride + n, yStride, tiles);
                }
            }
        }
    }

    /// <summary>Multiplies a block of rows with a panel, and adds the result to y.</summary>
    /// <param name="tiles">Memory for six tiles [MR, NR].</param>
    private static void MultiplyBlock(float* x, float* panel, int depth, bool isInputMajor, int rows, int columns, float* y, long yStride,
        float* tiles)
    {
        if (isInputMajor)
        {
            if (rows == MR && columns == NR)
            {
                Tile(x, panel, depth, rows, y, yStride);
                return;
            }
            for (int m = 0; m < rows; m++) new Span<float>(y + m * yStride, columns).CopyTo(new Span<float>(tiles + m * NR, columns));
            Tile(x, panel, depth, rows, tiles, NR);
            for (int m = 0; m < rows; m++) new Span<float>(tiles + m * NR, columns).CopyTo(new Span<float>(y + m * yStride, columns));
            return;
        }
        int steps = depth / Lanes;
        for (int i = 0; i < Lanes; i++, x += steps * MR, panel += steps * NR)
            TileOfLane(x, panel, steps, rows, tiles, BitOperations.TrailingZeroCount(~i));
        float* sums = tiles + 4 * MR * NR;
        for (int m = 0; m < rows; m++, sums += NR, y += yStride)
        {
            int n = 0;
            for (; n + 16 <= columns; n += 16) Vector512.Store(Vector512.Load(y + n) + Vector512.Load(sums + n), y + n);
            for (; n < columns; n++) y[n] += sums[n];
        }
    }

    /// <summary>Adds the products of a block of rows and a panel to y one by one.</summary>
    private static void Tile(float* x, float* w, int depth, int rows, float* y, long yStride)
    {
        if (rows > MR / 2 && CpuCapabilities.Allows(CpuCapability.Avx512)) Tile12x32(x, w, depth, y, yStride, null, 0);
        else
            for (int m = 0; m < rows; m += 6)
                for (int n = 0; n < NR; n += 16) Tile6x16(x + m, w + n, depth, y + m * yStride + n, yStride, null, 0);
    }

    /// <summary>
    /// Sums the products of one partial sum, adds the first <paramref name="complete"/> tiles, and writes the result to the next tile.
    /// </summary>
    private static void TileOfLane(float* x, float* w, int depth, int rows, float* tiles, int complete)
    {
        if (rows > MR / 2 && CpuCapabilities.Allows(CpuCapability.Avx512)) Tile12x32(x, w, depth, null, NR, tiles, complete);
        else
            for (int m = 0; m < rows; m += 6)
                for (int n = 0; n < NR; n += 16) Tile6x16(x + m, w + n, depth, null, NR, tiles + m * NR + n, complete);
    }

    /// <summary>MR x NR = 12 x 32: 24 vectors of sums, which fill the registers of AVX-512 together with three operands.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile12x32(float* x, float* w, int depth, float* y, long yStride, float* tiles, int complete)
    {
        Vector512<float> a0 = default, a1 = default, b0 = default, b1 = default;
        Vector512<float> c0 = default, c1 = default, d0 = default, d1 = default;
        Vector512<float> e0 = default, e1 = default, f0 = default, f1 = default;
        Vector512<float> g0 = default, g1 = default, h0 = default, h1 = default;
        Vector512<float> i0 = default, i1 = default, j0 = default, j1 = default;
        Vector512<float> k0 = default, k1 = default, l0 = default, l1 = default;
        if (y != null)
        {
            float* row = y;
            a0 = Vector512.Load(row); a1 = Vector512.Load(row + 16); row += yStride;
            b0 = Vector512.Load(row); b1 = Vector512.Load(row + 16); row += yStride;
            c0 = Vector512.Load(row); c1 = Vector512.Load(row + 16); row += yStride;
            d0 = Vector512.Load(row); d1 = Vector512.Load(row + 16); row += yStride;
            e0 = Vector512.Load(row); e1 = Vector512.Load(row + 16); row += yStride;
            f0 = Vector512.Load(row); f1 = Vector512.Load(row + 16); row += yStride;
            g0 = Vector512.Load(row); g1 = Vector512.Load(row + 16); row += yStride;
            h0 = Vector512.Load(row); h1 = Vector512.Load(row + 16); row += yStride;
            i0 = Vector512.Load(row); i1 = Vector512.Load(row + 16); row += yStride;
            j0 = Vector512.Load(row); j1 = Vector512.Load(row + 16); row += yStride;
            k0 = Vector512.Load(row); k1 = Vector512.Load(row + 16); row += yStride;
            l0 = Vector512.Load(row); l1 = Vector512.Load(row + 16);
        }
        for (int k = 0; k < depth; k++, x += MR, w += NR)
        {
            Vector512<float> p = Vector512.Load(w), q = Vector512.Load(w + 16), v = Vector512.Create(x[0]);
            a0 = Vector512.FusedMultiplyAdd(v, p, a0); a1 = Vector512.FusedMultiplyAdd(v, q, a1);
            v = Vector512.Create(x[1]);
            b0 = Vector512.FusedMultiplyAdd(v, p, b0); b1 = Vector512.FusedMultiplyAdd(v, q, b1);
            v = Vector512.Create(x[2]);
            c0 = Vector512.FusedMultiplyAdd(v, p, c0); c1 = Vector512.FusedMultiplyAdd(v, q, c1);
            v = Vector512.Create(x[3]);
            d0 = Vector512.FusedMultiplyAdd(v, p, d0); d1 = Vector512.FusedMultiplyAdd(v, q, d1);
            v = Vector512.Create(x[4]);
            e0 = Vector512.FusedMultiplyAdd(v, p, e0); e1 = Vector512.FusedMultiplyAdd(v, q, e1);
            v = Vector512.Create(x[5]);
            f0 = Vector512.FusedMultiplyAdd(v, p, f0); f1 = Vector512.FusedMultiplyAdd(v, q, f1);
            v = Vector512.Create(x[6]);
            g0 = Vector512.FusedMultiplyAdd(v, p, g0); g1 = Vector512.FusedMultiplyAdd(v, q, g1);
            v = Vector512.Create(x[7]);
            h0 = Vector512.FusedMultiplyAdd(v, p, h0); h1 = Vector512.FusedMultiplyAdd(v, q, h1);
            v = Vector512.Create(x[8]);
            i0 = Vector512.FusedMultiplyAdd(v, p, i0); i1 = Vector512.FusedMultiplyAdd(v, q, i1);
            v = Vector512.Create(x[9]);
            j0 = Vector512.FusedMultiplyAdd(v, p, j0); j1 = Vector512.FusedMultiplyAdd(v, q, j1);
            v = Vector512.Create(x[10]);
            k0 = Vector512.FusedMultiplyAdd(v, p, k0); k1 = Vector512.FusedMultiplyAdd(v, q, k1);
            v = Vector512.Create(x[11]);
            l0 = Vector512.FusedMultiplyAdd(v, p, l0); l1 = Vector512.FusedMultiplyAdd(v, q, l1);
        }
        for (; complete > 0; complete--, tiles += MR * NR)
        {
            a0 += Vector512.Load(tiles + 0); a1 += Vector512.Load(tiles + 16);
            b0 += Vector512.Load(tiles + 32); b1 += Vector512.Load(tiles + 48);
            c0 += Vector512.Load(tiles + 64); c1 += Vector512.Load(tiles + 80);
            d0 += Vector512.Load(tiles + 96); d1 += Vector512.Load(tiles + 112);
            e0 += Vector512.Load(tiles + 128); e1 += Vector512.Load(tiles + 144);
            f0 += Vector512.Load(tiles + 160); f1 += Vector512.Load(tiles + 176);
            g0 += Vector512.Load(tiles + 192); g1 += Vector512.Load(tiles + 208);
            h0 += Vector512.Load(tiles + 224); h1 += Vector512.Load(tiles + 240);
            i0 += Vector512.Load(tiles + 256); i1 += Vector512.Load(tiles + 272);
            j0 += Vector512.Load(tiles + 288); j1 += Vector512.Load(tiles + 304);
            k0 += Vector512.Load(tiles + 320); k1 += Vector512.Load(tiles + 336);
            l0 += Vector512.Load(tiles + 352); l1 += Vector512.Load(tiles + 368);
        }
        if (y == null) y = tiles;
        Store(y, a0, a1); y += yStride;
        Store(y, b0, b1); y += yStride;
        Store(y, c0, c1); y += yStride;
        Store(y, d0, d1); y += yStride;
        Store(y, e0, e1); y += yStride;
        Store(y, f0, f1); y += yStride;
        Store(y, g0, g1); y += yStride;
        Store(y, h0, h1); y += yStride;
        Store(y, i0, i1); y += yStride;
        Store(y, j0, j1); y += yStride;
        Store(y, k0, k1); y += yStride;
        Store(y, l0, l1);
    }

    /// <summary>6 x 16: six vectors of sums with AVX-512, and twelve of sixteen registers with AVX2.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile6x16(float* x, float* w, int depth, float* y, long yStride, float* tiles, int complete)
    {
        Vector512<float> a = default, b = default, c = default, d = default, e = default, f = default;
        if (y != null)
        {
            float* row = y;
            a = Vector512.Load(row); row += yStride;
            b = Vector512.Load(row); row += yStride;
            c = Vector512.Load(row); row += yStride;
            d = Vector512.Load(row); row += yStride;
            e = Vector512.Load(row); row += yStride;
            f = Vector512.Load(row);
        }
        for (int k = 0; k < depth; k++, x += MR, w += NR)
        {
            Vector512<float> p = Vector512.Load(w);
            a = Vector512.FusedMultiplyAdd(Vector512.Create(x[0]), p, a);
            b = Vector512.FusedMultiplyAdd(Vector512.Create(x[1]), p, b);
            c = Vector512.FusedMultiplyAdd(Vector512.Create(x[2]), p, c);
            d = Vector512.FusedMultiplyAdd(Vector512.Create(x[3]), p, d);
            e = Vector512.FusedMultiplyAdd(Vector512.Create(x[4]), p, e);
            f = Vector512.FusedMultiplyAdd(Vector512.Create(x[5]), p, f);
        }
        for (; complete > 0; complete--, tiles += MR * NR)
        {
            a += Vector512.Load(tiles + 0);
            b += Vector512.Load(tiles + 32);
            c += Vector512.Load(tiles + 64);
            d += Vector512.Load(tiles + 96);
            e += Vector512.Load(tiles + 128);
            f += Vector512.Load(tiles + 160);
        }
        if (y == null) y = tiles;
        Vector512.Store(a, y); y += yStride;
        Vector512.Store(b, y); y += yStride;
        Vector512.Store(c, y); y += yStride;
        Vector512.Store(d, y); y += yStride;
        Vector512.Store(e, y); y += yStride;
        Vector512.Store(f, y);
    }

    /// <summary>Packs a panel of a weight [inFeatures, outFeatures].</summary>
    /// <param name="panel">[depth, NR]; zero beyond the columns</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackInputMajor<T>(byte* w, int outFeatures, int depth, int columns, float* panel) where T : IElement
    {
        long wStride = (long)outFeatures * T.Size;
        for (int k = 0; k < depth; k++, w += wStride, panel += NR)
        {
            if (columns == NR)
            {
                Vector512.Store(T.Load(w), panel);
                Vector512.Store(T.Load(w + 16 * T.Size), panel + 16);
                continue;
            }
            for (int n = 0; n < NR; n++) panel[n] = n < columns ? T.LoadScalar(w + n * T.Size) : 0;
        }
    }

    /// <summary>Packs a panel of a weight [outFeatures, inFeatures]: eight rows at a time are transposed.</summary>
    /// <param name="panel">[Lanes, depth / Lanes, NR]; zero beyond the columns</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackOutputMajor<T>(byte* w, int inFeatures, int depth, int columns, float* panel) where T : IElement
    {
        long wStride = (long)inFeatures * T.Size;
        float** to = stackalloc float*[8];
        for (int k = 0; k < depth; k += 8)
        {
            for (int i = 0; i < 8; i++) to[i] = panel + PositionInLanes(k + i, depth) * NR;
            for (int n = 0; n < NR; n += 8)
            {
                byte* row = w + n * wStride + (long)k * T.Size;
                if (n + 8 <= columns)
                    Transpose8x8<T>(row, row + wStride, row + 2 * wStride, row + 3 * wStride, row + 4 * wStride, row + 5 * wStride,
                        row + 6 * wStride, row + 7 * wStride, to, n);
                else
                    for (int i = 0; i < 8; i++)
                        for (int j = 0; j < 8; j++)
                            to[j][n + i] = n + i < columns ? T.LoadScalar(row + i * wStride + j * T.Size) : 0;
            }
        }
    }

    /// <summary>Transposes eight rows of eight elements.</summary>
    /// <param name="to">Where the rows of the result go, each at <paramref name="at"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose8x8<T>(byte* r0, byte* r1, byte* r2, byte* r3, byte* r4, byte* r5, byte* r6, byte* r7, float** to,
        int at) where T : IElement
    {
        Vector256<float> a = T.Load8(r0), b = T.Load8(r1), c = T.Load8(r2), d = T.Load8(r3);
        Transpose4x4(a, b, c, d, out a, out b, out c, out d);
        Vector256<float> e = T.Load8(r4), f = T.Load8(r5), g = T.Load8(r6), h = T.Load8(r7);
        Transpose4x4(e, f, g, h, out e, out f, out g, out h);
        Vector256.Store(Vector256.Create(a.GetLower(), e.GetLower()), to[0] + at);
        Vector256.Store(Vector256.Create(b.GetLower(), f.GetLower()), to[1] + at);
        Vector256.Store(Vector256.Create(c.GetLower(), g.GetLower()), to[2] + at);
        Vector256.Store(Vector256.Create(d.GetLower(), h.GetLower()), to[3] + at);
        Vector256.Store(Avx.Permute2x128(a, e, 0x31), to[4] + at);
        Vector256.Store(Avx.Permute2x128(b, f, 0x31), to[5] + at);
        Vector256.Store(Avx.Permute2x128(c, g, 0x31), to[6] + at);
        Vector256.Store(Avx.Permute2x128(d, h, 0x31), to[7] + at);
    }

    /// <summary>Transposes four rows of eight elements.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose4x8(float* r0, float* r1, float* r2, float* r3, float** to, int at)
    {
        Transpose4x4(Vector256.Load(r0), Vector256.Load(r1), Vector256.Load(r2), Vector256.Load(r3), out Vector256<float> a,
            out Vector256<float> b, out Vector256<float> c, out Vector256<float> d);
        Vector128.Store(a.GetLower(), to[0] + at);
        Vector128.Store(b.GetLower(), to[1] + at);
        Vector128.Store(c.GetLower(), to[2] + at);
        Vector128.Store(d.GetLower(), to[3] + at);
        Vector128.Store(a.GetUpper(), to[4] + at);
        Vector128.Store(b.GetUpper(), to[5] + at);
        Vector128.Store(c.GetUpper(), to[6] + at);
        Vector128.Store(d.GetUpper(), to[7] + at);
    }

    /// <summary>Transposes the 4 x 4 elements within each of the two 128-bit lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose4x4(Vector256<float> a, Vector256<float> b, Vector256<float> c, Vector256<float> d,
        out Vector256<float> w, out Vector256<float> x, out Vector256<float> y, out Vector256<float> z)
    {
        Vector256<float> p = Avx.UnpackLow(a, b), q = Avx.UnpackHigh(a, b), r = Avx.UnpackLow(c, d), s = Avx.UnpackHigh(c, d);
        w = Avx.Shuffle(p, r, 0x44);
        x = Avx.Shuffle(p, r, 0xEE);
        y = Avx.Shuffle(q, s, 0x44);
        z = Avx.Shuffle(q, s, 0xEE);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* y, Vector512<float> a, Vector512<float> b)
    {
        Vector512.Store(a, y);
        Vector512.Store(b, y + 16);
    }
}
