using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>The memory of a linear layer's weight and bias.</summary>
internal readonly unsafe struct WeightView
{
    /// <summary>The output features of a part of a product are a multiple of this.</summary>
    private const int PartAlignment = 64;

    private readonly byte* _weight, _bias;

    /// <param name="bias">[outFeatures], or null</param>
    /// <param name="isInputMajor">The weight is [inFeatures, outFeatures] instead of [outFeatures, inFeatures].</param>
    /// <param name="dtype">The element type of both: float32 or bfloat16.</param>
    public WeightView(nint weight, nint bias, int inFeatures, int outFeatures, bool isInputMajor, ScalarType dtype)
    {
        _weight = (byte*)weight;
        _bias = (byte*)bias;
        (InFeatures, OutFeatures, IsInputMajor, DType) = (inFeatures, outFeatures, isInputMajor, dtype);
    }

    public nint Address => (nint)_weight;

    public int InFeatures { get; }

    public int OutFeatures { get; }

    public bool IsInputMajor { get; }

    public ScalarType DType { get; }

    public int ElementSize => DType == ScalarType.Float32 ? 4 : 2;

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
        long inFeatures = weight.size(isInputMajor ? 0 : 1), outFeatures = weight.size(isInputMajor ? 1 : 0);
        if (inFeatures % 16 != 0 || inFeatures > 1 << 20 || outFeatures > 1 << 24 || inFeatures * outFeatures == 0) return null;
        return new WeightView(NativeTensor.DataPointer(weight.Handle), bias is null ? 0
            : NativeTensor.DataPointer(bias.Handle), (int)inFeatures, (int)outFeatures, isInputMajor, dtype);
    }

    /// <summary>A range of the output features as a weight of its own. Only for a weight [outFeatures, inFeatures].</summary>
    public WeightView Slice(int first, int count) => IsInputMajor ? throw new InvalidOperationException("Only rows can be sliced.")
        : new((nint)(_weight + (long)first * InFeatures * ElementSize), _bias is null ? 0
            : (nint)(_bias + (long)first * ElementSize), InFeatures, count, false, DType);

    /// <summary>
    /// The number of parts, which are ranges of whole vectors of output features, that a product is divided into for the thread pool.
    /// </summary>
    public int PartCount(int rows)
    {
        long bytes = (long)InFeatures * OutFeatures * ElementSize;
        if (bytes * rows < 1 << 18) return 1; // too small to be worth a second core
        // an input-major weight of few rows is read in runs as long as possible; otherwise the parts are small enough to balance the
        // threads
        long parts = IsInputMajor && rows <= 16 ? KernelThreadPool.ThreadCount
            : Math.Max(KernelThreadPool.ThreadCount, bytes * Math.Max(1, rows / 4) / (96 << 10));
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
        else if (x.Packed is not null)
        {
            BFloat16Gemm.Multiply(x.Packed, (ushort*)_weight, (ushort*)_bias, IsInputMajor, x.RowCount, InFeatures, OutFeatures, null,
                (ushort*)y, OutFeatures, first, last);
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
        if (x.Packed is not null)
        {
            BFloat16Gemm.Multiply(x.Packed, (ushort*)_weight, (ushort*)_bias, IsInputMajor, rows, InFeatures, OutFeatures, y, null, yStride,
                first, last);
            return;
        }
        for (int m = 0; m < rows; m++)
        {
            float* row = y + m * yStride;
            if (_bias is null) new Span<float>(row + first, last - first).Clear();
            else if (DType == ScalarType.Float32) new Span<float>((float*)_bias + first, last - first)
                .CopyTo(new Span<float>(row + first, last - first));
            else BFloat16.Widen((ushort*)_bias + first, row + first, last - first);
        }
        if (IsInputMajor && DType == ScalarType.Float32)
            GemmNN.MultiplyAdd<Float32>(x.Values, InFeatures, _weight, rows, InFeatures, OutFeatures, y, yStride, first, last);
        else if (IsInputMajor)
            GemmNN.MultiplyAdd<BFloat16>(x.Values, InFeatures, _weight, rows, InFeatures, OutFeatures, y, yStride, first, last);
        else if (DType == ScalarType.Float32) GemmNT.MultiplyAdd<Float32>(x.Values, _weight, rows, InFeatures, y, yStride, first, last);
        else GemmNT.MultiplyAdd<BFloat16>(x.Values, _weight, rows, InFeatures, y, yStride, first, last);
    }
}
