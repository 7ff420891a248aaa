using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>The left operand of one or several products, in the layout that the kernel for this number of rows reads.</summary>
internal readonly unsafe struct GemmInput
{
    private GemmInput(ProductKernel kernel, void* data, int rowCount)
    {
        Kernel = kernel;
        Data = data;
        RowCount = rowCount;
    }

    public int RowCount { get; }

    /// <summary>The kernel that reads <see cref="Data"/>.</summary>
    public ProductKernel Kernel { get; }

    /// <summary>
    /// [batch, inFeatures] in float32, or the blocks of <see cref="PackedGemm.PackInput"/> or <see cref="BFloat16Gemm.PackInput"/>.
    /// </summary>
    public void* Data { get; }

    /// <param name="x">[..., inFeatures], contiguous, of the weight's type</param>
    /// <param name="view">The weight, or the first of several with the same input features and layout.</param>
    /// <param name="kernel">A kernel of this project.</param>
    public static GemmInput Create(Tensor x, WeightView view, ProductKernel kernel) =>
        Create(LinearKernels.AsFloat32(x, 0), (int)(x.numel() / view.InFeatures), view, kernel);

    /// <param name="x">[batch, inFeatures], rounded to the weight's element type</param>
    public static GemmInput Create(float* x, int rowCount, WeightView view, ProductKernel kernel)
    {
        int inFeatures = view.InFeatures;
        bool isInputMajor = view.IsInputMajor;
        if (kernel == ProductKernel.Packed)
        {
            float* blocks = ScratchBuffer.GetFloats(6, PackedGemm.PackedLength(rowCount, inFeatures));
            KernelThreadPool.ParallelFor(PackedGemm.BlockCount(rowCount),
                block => PackedGemm.PackInput(x, inFeatures, rowCount, inFeatures, isInputMajor, blocks, block));
            return new GemmInput(kernel, blocks, rowCount);
        }
        if (kernel != ProductKernel.BFloat16) return new GemmInput(ProductKernel.Streamed, x, rowCount);
        int rowsPerPart = Math.Max(1, (1 << 15) / inFeatures);
        ushort* packed = BFloat16Gemm.ScratchForPackedInput(rowCount, inFeatures, isInputMajor);
        KernelThreadPool.ParallelFor((rowCount + rowsPerPart - 1) / rowsPerPart, part => BFloat16Gemm.PackInput(
            x, inFeatures, rowCount, inFeatures, isInputMajor, packed, part * rowsPerPart, Math.Min(rowCount, (part + 1) * rowsPerPart)));
        return new GemmInput(kernel, packed, rowCount);
    }
}
