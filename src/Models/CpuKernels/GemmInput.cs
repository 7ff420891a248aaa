using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>The left operand of one or several products, in the layout that the kernel for this number of rows reads.</summary>
internal readonly unsafe struct GemmInput
{
    private GemmInput(float* values, ushort* packed, int rowCount)
    {
        Values = values;
        Packed = packed;
        RowCount = rowCount;
    }

    public int RowCount { get; }

    /// <summary>[batch, inFeatures] in float32, or null</summary>
    public float* Values { get; }

    /// <summary>The blocks of <see cref="BFloat16Gemm.PackInput"/>, or null</summary>
    public ushort* Packed { get; }

    /// <param name="x">[..., inFeatures], contiguous, of the weight's type</param>
    /// <param name="view">The weight, or the first of several with the same input features and layout.</param>
    public static GemmInput Create(Tensor x, WeightView view) =>
        Create(LinearKernels.AsFloat32(x, 0), (int)(x.numel() / view.InFeatures), view);

    /// <param name="x">[batch, inFeatures], rounded to the weight's element type</param>
    public static GemmInput Create(float* x, int rowCount, WeightView view)
    {
        if (!BFloat16Gemm.Supports(view.DType, rowCount)) return new GemmInput(x, null, rowCount);
        int inFeatures = view.InFeatures, rowsPerPart = Math.Max(1, (1 << 15) / inFeatures);
        bool isInputMajor = view.IsInputMajor;
        ushort* packed = BFloat16Gemm.ScratchForPackedInput(rowCount, inFeatures, isInputMajor);
        KernelThreadPool.ParallelFor((rowCount + rowsPerPart - 1) / rowsPerPart, part => BFloat16Gemm.PackInput(
            x, inFeatures, rowCount, inFeatures, isInputMajor, packed, part * rowsPerPart, Math.Min(rowCount, (part + 1) * rowsPerPart)));
        return new GemmInput(null, packed, rowCount);
    }
}
