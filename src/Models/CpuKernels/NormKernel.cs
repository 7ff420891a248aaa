using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>The norms that models have; they differ in what is rounded when, in a model of bfloat16.</summary>
internal enum NormKind
{
    /// <summary>The normal row is rounded, then multiplied by the weight: Llama's.</summary>
    Rms,

    /// <summary>Multiplied by the weight, then rounded: OLMo 2's.</summary>
    RmsRoundedOnce,

    /// <summary>Multiplied by one and the weight, then rounded: Gemma's.</summary>
    RmsUnitOffset,

    /// <summary>With the mean taken off, and rounded once.</summary>
    Layer,
}

/// <summary>A norm of rows of numbers, in one sweep; sums in float32.</summary>
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

    /// <summary>A norm whose tensors these kernels can read, for numbers of their type; null for others.</summary>
    /// <param name="weight">[hidden], or null for none</param>
    /// <param name="bias">[hidden], or null for none</param>
    public static NormKernel? TryCreate(NormKind kind, Parameter? weight, Parameter? bias, double epsilon, ScalarType dtype)
    {
        if (dtype is not (ScalarType.Float32 or ScalarType.BFloat16)) return null;
        nint scale = 0, add = 0;
        return Fits(weight, ref scale) && Fits(bias, ref add) ? new NormKernel(kind, scale, add, epsilon, dtype) : null;

        bool Fits(Parameter? parameter, ref nint data)
        {
            if (parameter is null) return true;
            if (parameter.IsEightBit) return false;
            Tensor value = parameter.Value;
            data = NativeTensor.DataPointer(value.Handle);
            return value.dtype == dtype && value.device_type == DeviceType.CPU && value.is_contiguous();
        }
    }

    /// <summary>Norms all rows of a tensor.</summary>
    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden], or null if it is libtorch's to compute.</returns>
    [FastPath]
    public static Tensor? TryForward(NormKind kind, Tensor input, Parameter? weight, Parameter? bias, double epsilon)
    {
        if (!LinearKernels.Supports(input) || TryCreate(kind, weight, bias, epsilon, input.dtype) is not { } norm) return null;
        long width = input.size(-1), rows = input.numel() / width;
        if (weight is not null && weight.Shape[0] != width) return null;
        using Tensor x = input.contiguous();
        Tensor y = empty_like(x);
        nint from = NativeTensor.DataPointer(x.Handle), to = NativeTensor.DataPointer(y.Handle);
        bool half = input.dtype == ScalarType.BFloat16;
        int each = (int)Math.Max(1, (1 << 15) / width);
        KernelThreadPool.ParallelFor((int)((rows + each - 1) / each), part =>
        {
            long last = Math.Min((long)(part + 1) * each, rows);
            float* wide = half ? ScratchBuffer.GetFloats(2, width) : null;
            for (long row = (long)part * each; row < last; row++)
            {
                if (half)
                {
                    BFloat16.Widen((ushort*)from + row * width, wide, width);
                    norm.Apply(wide, wide, (int)width);
                    BFloat16.Narrow(wide, (ushort*)to + row * width, width);
                }
                else
                {
                    norm.Apply((float*)from + row * width, (float*)to + row * width, (int)width);
                }
            }
        });
        GC.KeepAlive(x);
        return y;
    }

    /// <summary>One row.</summary>
    /// <param name="x">[hidden], what comes out too</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Apply(float* x, float* y, int hiddenSize)
    {
        float mean = _kind == NormKind.Layer ? Sum(x, hiddenSize) / hiddenSize : 0;
        float scale = 1 / MathF.Sqrt(SumOfSquares(x, mean, hiddenSize) / hiddenSize + _epsilon);
        bool half = _dtype == ScalarType.BFloat16;
        int i = 0;
        for (; i + 16 <= hiddenSize; i += 16)
        {
            Vector512<float> normal = (Vector512.Load(x + i) - Vector512.Create(mean)) * Vector512.Create(scale);
            if (_weight is not null)
            {
                Vector512<float> weight = half ? BFloat16.Load(_weight + 2L * i) : Float32.Load(_weight + 4L * i);
                if (_kind == NormKind.Rms && half) normal = BFloat16.Round(normal);
                normal *= _kind == NormKind.RmsUnitOffset ? weight + Vector512<float>.One : weight;
            }
            if (_bias is not null) normal += half ? BFloat16.Load(_bias + 2L * i) : Float32.Load(_bias + 4L * i);
            Vector512.Store(half ? BFloat16.Round(normal) : normal, y + i);
        }
        for (; i < hiddenSize; i++)
        {
            float normal = (x[i] - mean) * scale;
            if (_weight is not null)
            {
                float weight = half ? BFloat16.LoadScalar(_weight + 2L * i) : Float32.LoadScalar(_weight + 4L * i);
                if (_kind == NormKind.Rms && half) normal = BFloat16.Round(normal);
                normal *= _kind == NormKind.RmsUnitOffset ? weight + 1 : weight;
            }
            if (_bias is not null) normal += half ? BFloat16.LoadScalar(_bias + 2L * i) : Float32.LoadScalar(_bias + 4L * i);
            y[i] = half ? BFloat16.Round(normal) : normal;
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
            Vector512<float> from = Vector512.Load(x + i) - Vector512.Create(mean);
            sums = Vector512.FusedMultiplyAdd(from, from, sums);
        }
        float sum = Vector512.Sum(sums);
        for (; i < hiddenSize; i++) sum += (x[i] - mean) * (x[i] - mean);
        return sum;
    }
}

/// <summary>A norm that the kernels can read.</summary>
internal interface INormLayer
{
    /// <summary>Null where they cannot.</summary>
    NormKernel? GetKernel(ScalarType dtype);
}
