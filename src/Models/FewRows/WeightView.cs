using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>A linear layer's weight and bias as the kernels read them.</summary>
internal readonly unsafe struct WeightView
{
    /// <summary>Parts of a product are so many outputs, or a multiple.</summary>
    private const int Step = 64;

    private readonly byte* _weight, _bias;

    /// <param name="bias">[outputs], or null</param>
    /// <param name="columns">The weight is [inputs, outputs], not [outputs, inputs].</param>
    /// <param name="type">Of both: float32 or bfloat16.</param>
    public WeightView(nint weight, nint bias, int inputs, int outputs, bool columns, ScalarType type)
    {
        _weight = (byte*)weight;
        _bias = (byte*)bias;
        (Inputs, Outputs, ByColumns, Type) = (inputs, outputs, columns, type);
    }

    public nint Address => (nint)_weight;

    public int Inputs { get; }

    public int Outputs { get; }

    public bool ByColumns { get; }

    public ScalarType Type { get; }

    public int Bytes => Type == ScalarType.Float32 ? 4 : 2;

    /// <summary>A weight's tensors, where the kernels can read them; null for other types and devices, and where memory is not in order.</summary>
    public static WeightView? Of(Tensor weight, Tensor? bias, bool columns)
    {
        ScalarType type = weight.dtype;
        if (type is not (ScalarType.Float32 or ScalarType.BFloat16) || weight.device_type != DeviceType.CPU || !weight.is_contiguous()) return null;
        if (bias is not null && (bias.dtype != type || bias.device_type != DeviceType.CPU || !bias.is_contiguous())) return null;
        long inputs = weight.size(columns ? 0 : 1), outputs = weight.size(columns ? 1 : 0);
        if (inputs % 16 != 0 || inputs > 1 << 20 || outputs > 1 << 24 || inputs * outputs == 0) return null;
        return new WeightView(NativeTensor.Data(weight.Handle), bias is null ? 0 : NativeTensor.Data(bias.Handle), (int)inputs, (int)outputs, columns, type);
    }

    /// <summary>Some of the outputs, as a weight of their own; of a weight whose rows are outputs.</summary>
    public WeightView Slice(int first, int count) => ByColumns ? throw new InvalidOperationException("Only rows can be sliced.")
        : new((nint)(_weight + (long)first * Inputs * Bytes), _bias is null ? 0 : (nint)(_bias + (long)first * Bytes), Inputs, count, false, Type);

    /// <summary>In how many parts a product is shared by the crew: ranges of outputs, of whole vectors.</summary>
    public int Parts(int rows)
    {
        long bytes = (long)Inputs * Outputs * Bytes;
        if (bytes * rows < 1 << 18) return 1; // not worth a second core
        // streamed columns are read in runs as long as can be; rows, and what is bound by arithmetic, in parts small enough to be shared well
        long wanted = ByColumns && rows <= 16 ? Crew.Size : Math.Max(Crew.Size, bytes * Math.Max(1, rows / 4) / (96 << 10));
        return (int)Math.Clamp(wanted, 1, Math.Min(256, (Outputs + Step - 1) / Step));
    }

    /// <summary>The outputs of a part.</summary>
    public (int First, int Last) Part(int part, int parts)
    {
        int steps = (Outputs + Step - 1) / Step;
        return ((int)((long)steps * part / parts) * Step, Math.Min(Outputs, (int)((long)steps * (part + 1) / parts) * Step));
    }

    /// <summary>y = x W + b for the outputs from first to last, rounded to the weight's type.</summary>
    /// <param name="y">[rows, outputs]</param>
    public void Multiply(InputRows x, nint y, int first, int last)
    {
        if (Type == ScalarType.Float32)
        {
            Multiply(x, (float*)y, Outputs, first, last);
        }
        else if (x.Halves is not null)
        {
            PairKernels.Multiply(x.Halves, (ushort*)_weight, (ushort*)_bias, ByColumns, x.Count, Inputs, Outputs, null, (ushort*)y, Outputs, first, last);
        }
        else
        {
            int width = last - first;
            float* sums = Scratch.Floats(2, (long)x.Count * width);
            Multiply(x, sums - first, width, first, last);
            for (int m = 0; m < x.Count; m++) BFloat16.Narrow(sums + (long)m * width, (ushort*)y + (long)m * Outputs + first, width);
        }
    }

    /// <summary>y = x W + b for the outputs from first to last; sums in float32, not rounded.</summary>
    /// <param name="y">Rows of stride numbers; output n of row m goes to y[m · stride + n].</param>
    public void Multiply(InputRows x, float* y, long stride, int first, int last)
    {
        int rows = x.Count;
        if (x.Halves is not null)
        {
            PairKernels.Multiply(x.Halves, (ushort*)_weight, (ushort*)_bias, ByColumns, rows, Inputs, Outputs, y, null, stride, first, last);
            return;
        }
        for (int m = 0; m < rows; m++)
        {
            float* row = y + m * stride;
            if (_bias is null) new Span<float>(row + first, last - first).Clear();
            else if (Type == ScalarType.Float32) new Span<float>((float*)_bias + first, last - first).CopyTo(new Span<float>(row + first, last - first));
            else BFloat16.Widen((ushort*)_bias + first, row + first, last - first);
        }
        if (ByColumns && Type == ScalarType.Float32) ColumnKernels.Add<Float32>(x.Numbers, Inputs, _weight, rows, Inputs, Outputs, y, stride, first, last);
        else if (ByColumns) ColumnKernels.Add<BFloat16>(x.Numbers, Inputs, _weight, rows, Inputs, Outputs, y, stride, first, last);
        else if (Type == ScalarType.Float32) RowKernels.Add<Float32>(x.Numbers, _weight, rows, Inputs, y, stride, first, last);
        else RowKernels.Add<BFloat16>(x.Numbers, _weight, rows, Inputs, y, stride, first, last);
    }
}

/// <summary>A linear layer that the kernels can read.</summary>
internal interface ILinear
{
    /// <summary>Null where they cannot: other types and devices, weights in eight bits.</summary>
    WeightView? View { get; }
}

/// <summary>Looks at a layer's tensors once, and again if they have become others.</summary>
internal sealed class CachedView(Parameter weight, Parameter? bias, bool columns)
{
    private Tensor? _weight, _bias;
    private nint _address, _other;
    private WeightView? _view;

    public WeightView? Get()
    {
        if (weight.IsEightBit || bias is { IsEightBit: true }) return null;
        Tensor value = weight.Value;
        Tensor? add = bias?.Value;
        nint address = value.Handle, other = add?.Handle ?? 0;
        if (ReferenceEquals(value, _weight) && ReferenceEquals(add, _bias) && address == _address && other == _other) return _view;
        (_weight, _bias, _address, _other, _view) = (value, add, address, other, WeightView.Of(value, add, columns));
        return _view;
    }
}
