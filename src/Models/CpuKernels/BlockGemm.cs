using System.Runtime.CompilerServices;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// y += x Wᵀ for a weight in four or eight bits by blocks. A part of the weight is dequantized into memory that stays in the cache, and
/// multiplied by the kernels of float32:
/// 1. For one row, four rows of the weight in registers (<see cref="BlockView.TryMultiplyFourRows"/>), where the layout has a kernel.
/// 2. For few rows, four rows of the weight over <see cref="GemmNT.KC"/> input features, and <see cref="GemmNT"/>.
/// 3. For many rows, a panel of <see cref="PanelRows"/> rows of the weight, and <see cref="PackedGemm"/>.
/// </summary>
/// <remarks>
/// The sums are those of the dequantized weight, bit for bit, for any number of rows. Only the packed weight is read from memory, a quarter
/// to a half of the bytes of bfloat16; writing and reading sixteen kilobytes in the first-level cache costs little beside it.
/// </remarks>
internal static unsafe class BlockGemm
{
    /// <summary>More rows than this use panels.</summary>
    public const int MaxStreamedRows = 16;

    private const int PanelRows = 32;

    /// <param name="x">[batch, inFeatures], or the blocks of <see cref="PackedGemm.PackInput"/> if the kernel is Packed</param>
    /// <param name="firstRow">The row of the weight that is output feature 0.</param>
    /// <param name="y">[batch, outFeatures] with <paramref name="yStride"/> elements between rows</param>
    public static void MultiplyAdd(GemmInput x, BlockView* weight, long firstRow, float* y, long yStride, int first, int last)
    {
        if (x.Kernel == ProductKernel.Packed) MultiplyPanels(x, weight, firstRow, y, yStride, first, last);
        else MultiplyStreamed((float*)x.Data, x.RowCount, weight, firstRow, y, yStride, first, last);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyStreamed(float* x, int rows, BlockView* weight, long firstRow, float* y, long yStride, int first, int last)
    {
        const int KC = GemmNT.KC;
        int inFeatures = weight->InFeatures;
        float* wide = ScratchBuffer.GetFloats(8, 4 * KC); // [4, KC]
        for (int n = first; n < last; n += 4)
        {
            int columns = Math.Min(4, last - n);
            for (int k = 0; k < inFeatures; k += KC)
            {
                int depth = Math.Min(KC, inFeatures - k);
                if (rows == 1 && columns == 4 && weight->TryMultiplyFourRows(firstRow + n, k, depth, x + k, y + n)) continue;
                for (int i = 0; i < columns; i++) weight->Widen(firstRow + n + i, k, depth, wide + i * KC);
                GemmNT.FourOutputs<Float32>(x + k, inFeatures, (byte*)wide, KC * sizeof(float), depth, y, yStride, n, columns, 0, rows);
            }
        }
    }

    private static void MultiplyPanels(GemmInput x, BlockView* weight, long firstRow, float* y, long yStride, int first, int last)
    {
        int inFeatures = weight->InFeatures;
        float* wide = ScratchBuffer.GetFloats(8, (long)PanelRows * inFeatures); // [32, inFeatures]
        for (int n = first; n < last; n += PanelRows)
        {
            int columns = Math.Min(PanelRows, last - n);
            for (int i = 0; i < columns; i++) weight->Widen(firstRow + n + i, 0, inFeatures, wide + (long)i * inFeatures);
            PackedGemm.MultiplyAdd<Float32>((float*)x.Data, (byte*)wide, false, x.RowCount, inFeatures, columns, y + n, yStride, 0,
                columns);
        }
    }
}
