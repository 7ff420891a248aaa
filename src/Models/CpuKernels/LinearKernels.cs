using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// Products with a weight, by the names that PyTorch has for them. Those of a few rows, as in decoding and on short prompts, are bound by reading the weight from memory, and
/// libtorch's kernels read it at a third to a half of the memory's speed; those of many are bound by arithmetic, and on some processors
/// libtorch has none of 512 bits for float32 (docs/decisions/0007). Here each part of the weight is read once, by all cores, and used for
/// all rows while it is in the cache.
/// </summary>
/// <remarks>
/// Sums are made in another order than libtorch's, so results differ in the last bits; not among themselves: a row gives the same
/// numbers alone and in company, in bfloat16 of up to eight rows, and of nine or more (<see cref="BFloat16Gemm"/>). Used on the CPU only, without a graph, for float32 and bfloat16 (summed in float32), where the processor
/// has 512-bit vectors (<see cref="CpuCapabilities"/>).
/// </remarks>
public static unsafe class LinearKernels
{
    /// <summary>Of more rows libtorch's products are quicker, where <see cref="BFloat16Gemm"/> cannot be used.</summary>
    internal static int MaxRows(ScalarType dtype) => dtype == ScalarType.Float32 || BFloat16Gemm.IsAvailable ? int.MaxValue : 32;

    /// <summary>Whether these kernels are used at all.</summary>
    internal static bool IsEnabled => CpuCapabilities.Allows(CpuCapability.Avx512);

    /// <summary>y = x Wᵀ + b. PyTorch's <c>nn.functional.linear</c></summary>
    /// <param name="input">[..., inFeatures]</param>
    /// <param name="weight">[outFeatures, inFeatures]</param>
    /// <param name="bias">[outFeatures]</param>
    public static Tensor linear(Tensor input, Tensor weight, Tensor? bias) => TryLinear(input, weight, bias) ?? nn.functional.linear(input, weight, bias);

    /// <summary>y = b + x W. PyTorch's <c>addmm</c></summary>
    /// <param name="bias">[outFeatures]</param>
    /// <param name="input">[batch, inFeatures]</param>
    /// <param name="weight">[inFeatures, outFeatures]</param>
    public static Tensor addmm(Tensor bias, Tensor input, Tensor weight) => TryAddmm(input, weight, bias) ?? torch.addmm(bias, input, weight, 1, 1);

    /// <summary>y = x Wᵀ + b, or null if it is libtorch's to compute.</summary>
    /// <param name="input">[..., inFeatures]</param>
    /// <param name="weight">[outFeatures, inFeatures]</param>
    /// <param name="bias">[outFeatures]</param>
    internal static Tensor? TryLinear(Tensor input, Tensor weight, Tensor? bias) => Multiply(input, weight, bias, isInputMajor: false);

    /// <summary>y = x W + b, or null if it is libtorch's to compute.</summary>
    /// <param name="input">[..., inFeatures]</param>
    /// <param name="weight">[inFeatures, outFeatures]</param>
    /// <param name="bias">[outFeatures]</param>
    internal static Tensor? TryAddmm(Tensor input, Tensor weight, Tensor bias) => Multiply(input, weight, bias, isInputMajor: true);

    private static Tensor? Multiply(Tensor input, Tensor weight, Tensor? bias, bool isInputMajor)
    {
        if (!Supports(input) || input.dtype != weight.dtype || WeightView.TryCreate(weight, bias, isInputMajor) is not { } view || input.size(-1) != view.InFeatures) return null;
        if (input.numel() / view.InFeatures > MaxRows(view.DType)) return null;
        using Tensor x = input.contiguous();
        long[] shape = input.shape;
        shape[^1] = view.OutFeatures;
        Tensor y = empty(shape, input.dtype);
        Multiply(view, GemmInput.Create(x, view), NativeTensor.DataPointer(y.Handle));
        GC.KeepAlive(x);
        return y;
    }

    /// <summary>A whole product, shared by the crew.</summary>
    /// <param name="x">[batch, inFeatures]</param>
    /// <param name="y">[batch, outFeatures] of the weight's type</param>
    internal static void Multiply(WeightView view, float* x, int rows, nint y) => Multiply(view, GemmInput.Create(x, rows, view), y);

    private static void Multiply(WeightView view, GemmInput x, nint y)
    {
        int parts = view.PartCount(x.RowCount);
        KernelThreadPool.ParallelFor(parts, part =>
        {
            var (first, last) = view.PartRange(part, parts);
            view.Multiply(x, y, first, last);
        }, view.Address);
    }

    /// <summary>Whether a tensor is one that these kernels take: on the CPU, without a graph, not empty.</summary>
    internal static bool Supports(Tensor input) =>
        IsEnabled && input.device_type == DeviceType.CPU && !is_grad_enabled() && input.numel() is > 0 and < 1 << 30;

    /// <summary>A tensor's numbers as float32: its own, or a copy in a place of the thread's scratch.</summary>
    /// <param name="tensor">Contiguous, float32 or bfloat16.</param>
    internal static float* AsFloat32(Tensor tensor, int slot)
    {
        nint data = NativeTensor.DataPointer(tensor.Handle);
        if (tensor.dtype == ScalarType.Float32) return (float*)data;
        long count = tensor.numel();
        float* wide = ScratchBuffer.GetFloats(slot, count);
        long each = 1 << 16;
        KernelThreadPool.ParallelFor((int)((count + each - 1) / each), part => BFloat16.Widen((ushort*)data + part * each, wide + part * each, Math.Min(each, count - part * each)));
        return wide;
    }
}
