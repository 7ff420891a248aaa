using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>A linear layer's weight and bias as the kernels read them.</summary>
internal readonly unsafe struct WeightView
{
    /// <summary>Parts of a product are so many outputs, or a multiple.</summary>
    private const int PartAlignment = 64;

    private readonly byte* _weight, _bias;

    /// <param name="bias">[outFeatures], or null</param>
    /// <param name="isInputMajor">The weight is [inFeatures, outFeatures], not [outFeatures, inFeatures].</param>
    /// <param name="dtype">Of both: float32 or bfloat16.</param>
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

    /// <summary>A weight's tensors, where the kernels can read them; null for other types and devices, and where memory is not in order.</summary>
    public static WeightView? TryCreate(Tensor weight, Tensor? bias, bool isInputMajor)
    {
        ScalarType type = weight.dtype;
        if (type is not (ScalarType.Float32 or ScalarType.BFloat16) || weight.device_type != DeviceType.CPU || !weight.is_contiguous()) return null;
        if (bias is not null && (bias.dtype != type || bias.device_type != DeviceType.CPU || !bias.is_contiguous())) return null;
        long inputs = weight.size(isInputMajor ? 0 : 1), outputs = weight.size(isInputMajor ? 1 : 0);
        if (inputs % 16 != 0 || inputs > 1 << 20 || outputs > 1 << 24 || inputs * outputs == 0) return null;
        return new WeightView(NativeTensor.DataPointer(weight.Handle), bias is null ? 0 : NativeTensor.DataPointer(bias.Handle), (int)inputs, (int)outputs, isInputMajor, type);
    }

    /// <summary>Some of the outputs, as a weight of their own; of a weight whose rows are outputs.</summary>
    public WeightView Slice(int first, int count) => IsInputMajor ? throw new InvalidOperationException("Only rows can be sliced.")
        : new((nint)(_weight + (long)first * InFeatures * ElementSize), _bias is null ? 0 : (nint)(_bias + (long)first * ElementSize), InFeatures, count, false, DType);

    /// <summary>In how many parts a product is shared by the crew: ranges of outputs, of whole vectors.</summary>
    public int PartCount(int rows)
    {
        long bytes = (long)InFeatures * OutFeatures * ElementSize;
        if (bytes * rows < 1 << 18) return 1; // not worth a second core
        // streamed columns are read in runs as long as can be; rows, and what is bound by arithmetic, in parts small enough to be shared well
        long wanted = IsInputMajor && rows <= 16 ? KernelThreadPool.ThreadCount : Math.Max(KernelThreadPool.ThreadCount, bytes * Math.Max(1, rows / 4) / (96 << 10));
        return (int)Math.Clamp(wanted, 1, Math.Min(256, (OutFeatures + PartAlignment - 1) / PartAlignment));
    }

    /// <summary>The outputs of a part.</summary>
    public (int First, int Last) PartRange(int part, int parts)
    {
        int steps = (OutFeatures + PartAlignment - 1) / PartAlignment;
        return ((int)((long)steps * part / parts) * PartAlignment, Math.Min(OutFeatures, (int)((long)steps * (part + 1) / parts) * PartAlignment));
    }

    /// <summary>y = x W + b for the outputs from first to last, rounded to the weight's type.</summary>
    /// <param name="y">[batch, outFeatures]</param>
    public void Multiply(GemmInput x, nint y, int first, int last)
    {
        if (DType == ScalarType.Float32)
        {
            Multiply(x, (float*)y, OutFeatures, first, last);
        }
        else if (x.Packed is not null)
        {
            BFloat16Gemm.Multiply(x.Packed, (ushort*)_weight, (ushort*)_bias, IsInputMajor, x.RowCount, InFeatures, OutFeatures, null, (ushort*)y, OutFeatures, first, last);
        }
        else
        {
            int width = last - first;
            float* sums = ScratchBuffer.GetFloats(2, (long)x.RowCount * width);
            Multiply(x, sums - first, width, first, last);
            for (int m = 0; m < x.RowCount; m++) BFloat16.Narrow(sums + (long)m * width, (ushort*)y + (long)m * OutFeatures + first, width);
        }
    }

    /// <summary>y = x W + b for the outputs from first to last; sums in float32, not rounded.</summary>
    /// <param name="y">Rows of stride numbers; output n of row m goes to y[m · stride + n].</param>
    public void Multiply(GemmInput x, float* y, long yStride, int first, int last)
    {
        int rows = x.RowCount;
        if (x.Packed is not null)
        {
            BFloat16Gemm.Multiply(x.Packed, (ushort*)_weight, (ushort*)_bias, IsInputMajor, rows, InFeatures, OutFeatures, y, null, yStride, first, last);
            return;
        }
        for (int m = 0; m < rows; m++)
        {
            float* row = y + m * yStride;
            if (_bias is null) new Span<float>(row + first, last - first).Clear();
            else if (DType == ScalarType.Float32) new Span<float>((float*)_bias + first, last - first).CopyTo(new Span<float>(row + first, last - first));
            else BFloat16.Widen((ushort*)_bias + first, row + first, last - first);
        }
        if (IsInputMajor && DType == ScalarType.Float32) GemmNN.MultiplyAdd<Float32>(x.Values, InFeatures, _weight, rows, InFeatures, OutFeatures, y, yStride, first, last);
        else if (IsInputMajor) GemmNN.MultiplyAdd<BFloat16>(x.Values, InFeatures, _weight, rows, InFeatures, OutFeatures, y, yStride, first, last);
        else if (DType == ScalarType.Float32) GemmNT.MultiplyAdd<Float32>(x.Values, _weight, rows, InFeatures, y, yStride, first, last);
        else GemmNT.MultiplyAdd<BFloat16>(x.Values, _weight, rows, InFeatures, y, yStride, first, last);
    }
}

/// <summary>A linear layer that the kernels can read.</summary>
internal interface ILinearLayer
{
    /// <summary>Null where they cannot: other types and devices, weights in eight bits.</summary>
    WeightView? View { get; }
}

/// <summary>Looks at a layer's tensors once, and again if they have become others.</summary>
internal sealed class CachedWeightView(Parameter weight, Parameter? bias, bool isInputMajor)
{
    private Tensor? _weight, _bias;
    private nint _weightHandle, _biasHandle;
    private WeightView? _view;

    public WeightView? Get()
    {
        if (weight.IsEightBit || bias is { IsEightBit: true }) return null;
        Tensor value = weight.Value;
        Tensor? add = bias?.Value;
        nint address = value.Handle, other = add?.Handle ?? 0;
        if (ReferenceEquals(value, _weight) && ReferenceEquals(add, _bias) && address == _weightHandle && other == _biasHandle) return _view;
        (_weight, _bias, _weightHandle, _biasHandle, _view) = (value, add, address, other, WeightView.TryCreate(value, add, isInputMajor));
        return _view;
    }
}
