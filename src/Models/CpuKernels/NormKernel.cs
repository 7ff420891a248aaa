using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>RMSNorm or LayerNorm over the last dimension, accumulated in float32.</summary>
internal readonly unsafe struct NormKernel
{
    private readonly NormKind _kind;
    private readonly byte* _weight, _bias;
    private readonly float _epsilon;
    private readonly ScalarType _dtype;

    private NormKernel(NormKind kind, nint weight, nint bias, double epsilon, ScalarType dtype)
    {
        (_kind, _epsilon, _dtype) = (kind, (float)epsilon, dtype);
        _weight = (byte*)weight;
        _bias = (byte*)bias;
    }

    /// <summary>
    /// Creates a kernel for inputs of an element type, or null if its parameters are not contiguous CPU tensors of that type.
    /// </summary>
    /// <param name="weight">[hidden], or null if the norm has none</param>
    /// <param name="bias">[hidden], or null if the norm has none</param>
    public static NormKernel? TryCreate(NormKind kind, Parameter? weight, Parameter? bias, double epsilon, ScalarType dtype)
    {
        if (dtype is not (ScalarType.Float32 or ScalarType.BFloat16)) return null;
        nint weightData = 0, biasData = 0;
        return Fits(weight, ref weightData) && Fits(bias, ref biasData) ? new NormKernel(kind, weightData, biasData, epsilon, dtype) : null;

        bool Fits(Parameter? parameter, ref nint data)
        {
            if (parameter is null) return true;
            if (parameter.IsPacked) return false;
            Tensor value = parameter.Value;
            data = NativeTensor.DataPointer(value.Handle);
            return value.dtype == dtype && value.device_type == DeviceType.CPU && value.is_contiguous();
        }
    }

    /// <summary>Normalizes all rows of a tensor.</summary>
    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden], or null if libtorch has to compute it.</returns>
    [FastPath]
    public static Tensor? TryForward(NormKind kind, Tensor input, Parameter? weight, Parameter? bias, double epsilon)
    {
        if (!LinearKernels.Supports(input) || TryCreate(kind, weight, bias, epsilon, input.dtype) is not { } norm) return null;
        long hiddenSize = input.size(-1), rows = input.numel() / hiddenSize;
        if (weight is not null && weight.Shape[0] != hiddenSize) return null;
        using Tensor x = input.contiguous(); // [..., hidden]
        Tensor y = empty_like(x);            // [..., hidden]
        nint source = NativeTensor.DataPointer(x.Handle), destination = NativeTensor.DataPointer(y.Handle);
        bool isBFloat16 = input.dtype == ScalarType.BFloat16;
        int rowsPerPart = (int)Math.Max(1, (1 << 15) / hiddenSize);
        KernelThreadPool.ParallelFor((int)((rows + rowsPerPart - 1) / rowsPerPart), part =>
        {
            long last = Math.Min((long)(part + 1) * rowsPerPart, rows);
            float* values = isBFloat16 ? ScratchBuffer.GetFloats(2, hiddenSize) : null;
            for (long row = (long)part * rowsPerPart; row < last; row++)
            {
                if (isBFloat16)
                {
                    BFloat16.Widen((ushort*)source + row * hiddenSize, values, hiddenSize);
                    norm.Apply(values, values, (int)hiddenSize);
                    BFloat16.Narrow(values, (ushort*)destination + row * hiddenSize, hiddenSize);
                }
                else
                {
                    norm.Apply((float*)source + row * hiddenSize, (float*)destination + row * hiddenSize, (int)hiddenSize);
                }
            }
        });
        GC.KeepAlive(x);
        return y;
    }

    /// <summary>Normalizes one row.</summary>
    /// <param name="x">[hidden]</param>
    /// <param name="y">[hidden]; may be <paramref name="x"/></param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Apply(float* x, float* y, int hiddenSize)
    {
        float mean = _kind is NormKind.Layer or NormKind.LayerUnitOffset ? Sum(x, hiddenSize) / hiddenSize : 0;
        float scale = 1 / MathF.Sqrt(SumOfSquares(x, mean, hiddenSize) / hiddenSize + _epsilon);
        bool isBFloat16 = _dtype == ScalarType.BFloat16;
        int i = 0;
        for (; i + 16 <= hiddenSize; i += 16)
        {
            Vector512<float> normal = (Vector512.Load(x + i) - Vector512.Create(mean)) * Vector512.Create(scale);
            if (_weight is not null)
            {
                Vector512<float> weight = isBFloat16 ? BFloat16.Load(_weight + 2L * i) : Float32.Load(_weight + 4L * i);
                if (_kind == NormKind.Rms && isBFloat16) normal = BFloat16.Round(normal);
                if (_kind is NormKind.RmsUnitOffset or NormKind.LayerUnitOffset) weight += Vector512<float>.One;
                if (_kind == NormKind.LayerUnitOffset && isBFloat16) weight = BFloat16.Round(weight);
                normal *= weight;
            }
            if (_bias is not null) normal += isBFloat16 ? BFloat16.Load(_bias + 2L * i) : Float32.Load(_bias + 4L * i);
            Vector512.Store(isBFloat16 ? BFloat16.Round(normal) : normal, y + i);
        }
        for (; i < hiddenSize; i++)
        {
            float normal = (x[i] - mean) * scale;
            if (_weight is not null)
            {
                float weight = isBFloat16 ? BFloat16.LoadScalar(_weight + 2L * i) : Float32.LoadScalar(_weight + 4L * i);
                if (_kind == NormKind.Rms && isBFloat16) normal = BFloat16.Round(normal);
                if (_kind is NormKind.RmsUnitOffset or NormKind.LayerUnitOffset) weight += 1;
                if (_kind == NormKind.LayerUnitOffset && isBFloat16) weight = BFloat16.Round(weight);
                normal *= weight;
            }
            if (_bias is not null) normal += isBFloat16 ? BFloat16.LoadScalar(_bias + 2L * i) : Float32.LoadScalar(_bias + 4L * i);
            y[i] = isBFloat16 ? BFloat16.Round(normal) : normal;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Sum(float* x, int hiddenSize)
    {
        Vector512<float> sums = default;
        int i = 0;
        for (; i + 16 <= hiddenSize; i += 16) sums += Vector512.Load(x + i);
        float sum = Vector512.Sum(sums);
        for (; i < hiddenSize; i++) sum += x[i];
        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float SumOfSquares(float* x, float mean, int hiddenSize)
    {
        Vector512<float> sums = default;
        int i = 0;
        for (; i + 16 <= hiddenSize; i += 16)
        {
            Vector512<float> centered = Vector512.Load(x + i) - Vector512.Create(mean);
            sums = Vector512.FusedMultiplyAdd(centered, centered, sums);
        }
        float sum = Vector512.Sum(sums);
        for (; i < hiddenSize; i++) sum += (x[i] - mean) * (x[i] - mean);
        return sum;
    }
}
