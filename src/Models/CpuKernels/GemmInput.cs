using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>Rows that are multiplied with weights, in the form that the kernels for so many of them read.</summary>
internal readonly unsafe struct GemmInput
{
    private GemmInput(float* values, ushort* packed, int rowCount)
    {
        Values = values;
        Packed = packed;
        RowCount = rowCount;
    }

    public int RowCount { get; }

    /// <summary>[count, inFeatures], or null</summary>
    public float* Values { get; }

    /// <summary>What <see cref="BFloat16Gemm"/> read, or null</summary>
    public ushort* Packed { get; }

    /// <param name="x">[..., inFeatures], contiguous, of the weight's type</param>
    /// <param name="view">The weight, or the first of several alike.</param>
    public static GemmInput Create(Tensor x, WeightView view) => Create(LinearKernels.AsFloat32(x, 0), (int)(x.numel() / view.InFeatures), view);

    /// <param name="x">[count, inFeatures], in the precision of the weight's type</param>
    public static GemmInput Create(float* x, int rowCount, WeightView view)
    {
        if (!BFloat16Gemm.Supports(view.DType, rowCount)) return new GemmInput(x, null, rowCount);
        int inputs = view.InFeatures, each = Math.Max(1, (1 << 15) / inputs);
        bool columns = view.IsInputMajor;
        ushort* halves = BFloat16Gemm.ScratchForPackedInput(rowCount, inputs, columns);
        KernelThreadPool.ParallelFor((rowCount + each - 1) / each, part => BFloat16Gemm.PackInput(x, inputs, rowCount, inputs, columns, halves, part * each, Math.Min(rowCount, (part + 1) * each)));
        return new GemmInput(null, halves, rowCount);
    }
}
