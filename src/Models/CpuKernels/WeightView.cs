using Ndif.Models.Loading;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>The memory of a linear layer's weight and bias.</summary>
internal readonly unsafe struct WeightView
{
    private readonly byte* _weight, _bias;
    private readonly float* _scales;
    private readonly BlockView* _blocks;
    private readonly long _firstRow; // of the blocks

    /// <param name="bias">[outFeatures], or null</param>
    /// <param name="isInputMajor">The weight is [inFeatures, outFeatures] instead of [outFeatures, inFeatures].</param>
    /// <param name="dtype">The element type of input, bias and output: float32 or bfloat16.</param>
    /// <param name="scales">[outFeatures] if the weight is quantized to eight bits; otherwise it has the type of the input.</param>
    public WeightView(nint weight, nint bias, int inFeatures, int outFeatures, bool isInputMajor, ScalarType dtype, nint scales = 0)
    {
        _weight = (byte*)weight;
        _bias = (byte*)bias;
        _scales = (float*)scales;
        (InFeatures, OutFeatures, IsInputMajor, DType) = (inFeatures, outFeatures, isInputMajor, dtype);
    }

    /// <summary>A weight in four or eight bits by blocks.</summary>
    /// <param name="firstRow">The row that is output feature 0.</param>
    private WeightView(BlockView* blocks, long firstRow, int outFeatures, nint bias, ScalarType dtype)
        : this((nint)blocks->CodesOf(firstRow), bias, blocks->InFeatures, outFeatures, isInputMajor: false, dtype)
    {
        _blocks = blocks;
        _firstRow = firstRow;
    }

    public nint Address => (nint)_weight;

    public int InFeatures { get; }

    public int OutFeatures { get; }

    public bool IsInputMajor { get; }

    /// <summary>The element type of input, bias and output.</summary>
    public ScalarType DType { get; }

    /// <summary>Whether the weight is quantized to eight bits.</summary>
    public bool IsEightBit => _scales is not null;

    /// <summary>The bytes of an element of the weight.</summary>
    private int ElementSize => IsEightBit ? 1 : BiasSize;

    /// <summary>The bytes of the weight that a product reads.</summary>
    private long Bytes => _blocks is not null ? (long)_blocks->CodeBytesPerRow * OutFeatures : (long)InFeatures * OutFeatures * ElementSize;

    /// <summary>The output features of a part of a product are a multiple of this: the panels of the kernels.</summary>
    private int PartAlignment => DType == ScalarType.BFloat16 && !IsEightBit && _blocks is null ? 64 : 32;

    private int BiasSize => DType == ScalarType.Float32 ? 4 : 2;

    /// <summary>
    /// Creates a view of a layer's tensors, or null if the kernels cannot read them: the element type is neither float32 nor bfloat16,
    /// or a tensor is not contiguous CPU memory.
    /// </summary>
    public static WeightView? TryCreate(Tensor weight, Tensor? bias, bool isInputMajor)
    {
        ScalarType dtype = weight.dtype;
        if (dtype is not (ScalarType.Float32 or ScalarType.BFloat16) || weight.device_type != DeviceType.CPU || !weight.is_contiguous())
            return null;
        if (bias is not null && (bias.dtype != dtype || bias.device_type != DeviceType.CPU || !bias.is_contiguous())) return null;
        return Create(weight, bias, isInputMajor, dtype, scales: null);
    }

    /// <summary>The same for a weight quantized to eight bits, with activations of its dequantized type.</summary>
    public static WeightView? TryCreate(EightBitWeight weight, Tensor? bias, bool isInputMajor)
    {
        if (weight.DType is not (ScalarType.Float32 or ScalarType.BFloat16) || weight.Device.type != DeviceType.CPU) return null;
        if (bias is not null && (bias.dtype != weight.DType || bias.device_type != DeviceType.CPU || !bias.is_contiguous())) return null;
        return Create(weight.Values, bias, isInputMajor, weight.DType, weight.Scales);
    }

    /// <summary>The same for a weight in four or eight bits by blocks.</summary>
    public static WeightView? TryCreate(BlockWeight weight, Tensor? bias)
    {
        if (weight.DType is not (ScalarType.Float32 or ScalarType.BFloat16)) return null;
        if (bias is not null && (bias.dtype != weight.DType || bias.device_type != DeviceType.CPU || !bias.is_contiguous())) return null;
        return new WeightView(weight.View, 0, (int)weight.Rows, bias is null ? 0 : NativeTensor.DataPointer(bias.Handle), weight.DType);
    }

    private static WeightView? Create(Tensor weight, Tensor? bias, bool isInputMajor, ScalarType dtype, Tensor? scales)
    {
        long inFeatures = weight.size(isInputMajor ? 0 : 1), outFeatures = weight.size(isInputMajor ? 1 : 0);
        if (inFeatures % 16 != 0 || inFeatures > 1 << 20 || outFeatures > 1 << 24 || inFeatures * outFeatures == 0) return null;
        return new WeightView(Address(weight), Address(bias), (int)inFeatures, (int)outFeatures, isInputMajor, dtype, Address(scales));

        static nint Address(Tensor? tensor) => tensor is null ? 0 : NativeTensor.DataPointer(tensor.Handle);
    }

    /// <summary>A range of the output features as a weight of its own. Only for a weight [outFeatures, inFeatures].</summary>
    public WeightView Slice(int first, int count) => _blocks is not null
        ? new(_blocks, _firstRow + first, count, _bias is null ? 0 : (nint)(_bias + (long)first * BiasSize), DType)
        : IsInputMajor ? throw new InvalidOperationException("Only rows can be sliced.")
        : new((nint)(_weight + (long)first * InFeatures * ElementSize), _bias is null ? 0
            : (nint)(_bias + (long)first * BiasSize), InFeatures, count, false, DType, _scales is null ? 0 : (nint)(_scales + first));

    /// <summary>The kernel for products with this number of rows.</summary>
    public ProductKernel KernelFor(int rows) => _blocks is not null
        ? rows > BlockGemm.MaxStreamedRows ? ProductKernel.Packed : ProductKernel.Streamed
        : ProductKernelTable.Choose(DType, IsEightBit, IsInputMajor, rows);

    /// <summary>
    /// The number of parts, which are ranges of whole vectors of output features, that a product is divided into for the thread pool.
    /// </summary>
    public int PartCount(int rows, ProductKernel kernel)
    {
        long bytes = Bytes;
        // 50 bytes of the second-level cache and 100 operations of one core take about a nanosecond. Waking another core and waiting for
        // it takes one or two microseconds, which is more than it saves for a product of ten.
        if (bytes / 50 + 2L * InFeatures * OutFeatures * rows / 100 < 10_000) return 1;
        // an input-major weight of few rows is read in runs as long as possible; otherwise the parts are small enough to balance the
        // threads
        long parts = IsInputMajor && kernel == ProductKernel.Streamed ? KernelThreadPool.ThreadCount
            : Math.Max(2 * KernelThreadPool.ThreadCount, bytes * Math.Max(1, rows / 4) / (96 << 10));
        return (int)Math.Clamp(parts, 1, Math.Min(256, (OutFeatures + PartAlignment - 1) / PartAlignment));
    }

    /// <summary>The range of output features of a part.</summary>
    public (int First, int Last) PartRange(int part, int parts)
    {
        int steps = (OutFeatures + PartAlignment - 1) / PartAlignment;
        return ((int)((long)steps * part / parts) * PartAlignment,
            Math.Min(OutFeatures, (int)((long)steps * (part + 1) / parts) * PartAlignment));
    }

    /// <summary>
    /// y = x W + b for the output features from <paramref name="first"/> to <paramref name="last"/>, rounded to the element type of the
    /// weight.
    /// </summary>
    /// <param name="y">[batch, outFeatures]</param>
    public void Multiply(GemmInput x, nint y, int first, int last)
    {
        if (DType == ScalarType.Float32)
        {
            Multiply(x, (float*)y, OutFeatures, first, last);
        }
        else if (x.Kernel == ProductKernel.BFloat16)
        {
            BFloat16Gemm.Multiply((ushort*)x.Data, (ushort*)_weight, (ushort*)_bias, IsInputMajor, x.RowCount, InFeatures, OutFeatures,
                null, (ushort*)y, OutFeatures, first, last);
        }
        else
        {
            int columns = last - first;
            float* sums = ScratchBuffer.GetFloats(2, (long)x.RowCount * columns);
            Multiply(x, sums - first, columns, first, last);
            for (int m = 0; m < x.RowCount; m++)
                BFloat16.Narrow(sums + (long)m * columns, (ushort*)y + (long)m * OutFeatures + first, columns);
        }
    }

    /// <summary>y = x W + b for the output features from <paramref name="first"/> to <paramref name="last"/>, in float32.</summary>
    /// <param name="y">Output feature n of row m is written to y[m · yStride + n].</param>
    public void Multiply(GemmInput x, float* y, long yStride, int first, int last)
    {
        int rows = x.RowCount;
        if (x.Kernel == ProductKernel.BFloat16)
        {
            BFloat16Gemm.Multiply((ushort*)x.Data, (ushort*)_weight, (ushort*)_bias, IsInputMajor, rows, InFeatures, OutFeatures, y, null,
                yStride, first, last);
            return;
        }
        for (int m = 0; m < rows; m++)
        {
            float* row = y + m * yStride;
            if (_bias is null || IsEightBit) new Span<float>(row + first, last - first).Clear();
            else CopyBias(row, first, last);
        }
        if (_blocks is not null) BlockGemm.MultiplyAdd(x, _blocks, _firstRow, y, yStride, first, last);
        else if (IsEightBit) MultiplyAdd<Int8>(x, y, yStride, first, last);
        else if (DType == ScalarType.Float32) MultiplyAdd<Float32>(x, y, yStride, first, last);
        else MultiplyAdd<BFloat16>(x, y, yStride, first, last);
        if (!IsEightBit) return;
        int columns = last - first;
        float* bias = ScratchBuffer.GetFloats(3, columns); // [columns]
        if (_bias is null) new Span<float>(bias, columns).Clear();
        else CopyBias(bias - first, first, last);
        for (int m = 0; m < rows; m++) VectorMath.ScaleAdd(y + m * yStride + first, _scales + first, bias, columns);
    }

    private void CopyBias(float* destination, int first, int last)
    {
        if (DType == ScalarType.BFloat16) BFloat16.Widen((ushort*)_bias + first, destination + first, last - first);
        else new Span<float>((float*)_bias + first, last - first).CopyTo(new Span<float>(destination + first, last - first));
    }

    private void MultiplyAdd<T>(GemmInput x, float* y, long yStride, int first, int last) where T : IElement
    {
        float* values = (float*)x.Data;
        if (x.Kernel == ProductKernel.Packed)
            PackedGemm.MultiplyAdd<T>(values, _weight, IsInputMajor, x.RowCount, InFeatures, OutFeatures, y, yStride, first, last);
        else if (IsInputMajor)
            GemmNN.MultiplyAdd<T>(values, InFeatures, _weight, x.RowCount, InFeatures, OutFeatures, y, yStride, first, last);
        else GemmNT.MultiplyAdd<T>(values, _weight, x.RowCount, InFeatures, y, yStride, first, last);
    }
}
