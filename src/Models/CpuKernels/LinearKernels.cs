using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// Products with the weight of a linear layer, under PyTorch's names. Products of a few rows, as in decoding and for short prompts, are
/// bound by reading the weight from memory, and libtorch's kernels reach a third to a half of the memory bandwidth. Products of many rows
/// are bound by arithmetic, and on some processors libtorch has no 512-bit kernel for float32 (docs/decisions/0007).
/// 1. The input is packed once for all threads (<see cref="GemmInput"/>).
/// 2. The output features are divided into ranges (<see cref="WeightView.PartRange"/>), and <see cref="KernelThreadPool"/> runs them.
/// 3. Each range streams its part of the weight once, and uses it for all rows while it is in the cache: <see cref="GemmNT"/> for a weight
///    [outFeatures, inFeatures], <see cref="GemmNN"/> for [inFeatures, outFeatures], <see cref="BFloat16Gemm"/> for nine or more rows of
///    bfloat16.
/// </summary>
/// <remarks>
/// The order of a sum differs from libtorch's, so results differ in the last bits. It does not depend on the number of rows: a row gives
/// the same values alone and in a batch, in float32, and in bfloat16 among batches of up to eight rows and among batches of nine or more.
/// The kernels run on the CPU, without an autograd graph, for float32 and bfloat16 (accumulated in float32), where the processor has
/// 512-bit vectors (<see cref="CpuCapabilities"/>).
/// </remarks>
internal static unsafe class LinearKernels
{
    /// <summary>Whether the kernels are used on this machine.</summary>
    internal static bool IsEnabled => CpuCapabilities.Allows(CpuCapability.Avx2);

    /// <summary>y = x Wᵀ + b. PyTorch's <c>nn.functional.linear</c></summary>
    /// <param name="input">[..., inFeatures]</param>
    /// <param name="weight">[outFeatures, inFeatures]</param>
    /// <param name="bias">[outFeatures]</param>
    public static Tensor linear(Tensor input, Tensor weight, Tensor? bias) =>
        TryLinear(input, weight, bias) ?? nn.functional.linear(input, weight, bias);

    /// <summary>y = b + x W. PyTorch's <c>addmm</c></summary>
    /// <param name="bias">[outFeatures]</param>
    /// <param name="input">[batch, inFeatures]</param>
    /// <param name="weight">[inFeatures, outFeatures]</param>
    public static Tensor addmm(Tensor bias, Tensor input, Tensor weight) =>
        TryAddmm(input, weight, bias) ?? torch.addmm(bias, input, weight, 1, 1);

    /// <summary>y = x Wᵀ + b, or null if libtorch has to compute it.</summary>
    /// <param name="input">[..., inFeatures]</param>
    /// <param name="weight">[outFeatures, inFeatures]</param>
    /// <param name="bias">[outFeatures]</param>
    internal static Tensor? TryLinear(Tensor input, Tensor weight, Tensor? bias) => Multiply(input, weight, bias, isInputMajor: false);

    /// <summary>y = x W + b, or null if libtorch has to compute it.</summary>
    /// <param name="input">[..., inFeatures]</param>
    /// <param name="weight">[inFeatures, outFeatures]</param>
    /// <param name="bias">[outFeatures]</param>
    internal static Tensor? TryAddmm(Tensor input, Tensor weight, Tensor bias) => Multiply(input, weight, bias, isInputMajor: true);

    private static Tensor? Multiply(Tensor input, Tensor weight, Tensor? bias, bool isInputMajor)
    {
        return Supports(input) && WeightView.TryCreate(weight, bias, isInputMajor) is { } view ? TryMultiply(input, view) : null;
    }

    /// <summary>The product with a weight, or null if libtorch has to compute it.</summary>
    /// <param name="input">[..., inFeatures], supported by the kernels</param>
    /// <returns>[..., outFeatures]</returns>
    internal static Tensor? TryMultiply(Tensor input, WeightView view)
    {
        if (input.dtype != view.DType || input.size(-1) != view.InFeatures) return null;
        ProductKernel kernel = view.KernelFor((int)(input.numel() / view.InFeatures));
        if (kernel == ProductKernel.Libtorch) return null;
        using Tensor x = input.contiguous(); // [..., inFeatures]
        long[] shape = input.shape;
        shape[^1] = view.OutFeatures;
        Tensor y = empty(shape, input.dtype); // [..., outFeatures]
        Multiply(view, GemmInput.Create(x, view, kernel), NativeTensor.DataPointer(y.Handle));
        GC.KeepAlive(x);
        return y;
    }

    /// <summary>Computes a whole product on all threads.</summary>
    /// <param name="x">[batch, inFeatures]</param>
    /// <param name="y">[batch, outFeatures] of the weight's element type</param>
    internal static void Multiply(WeightView view, float* x, int rows, nint y) =>
        Multiply(view, GemmInput.Create(x, rows, view, view.KernelFor(rows)), y);

    /// <summary>Computes a whole product on all threads.</summary>
    /// <param name="y">[batch, outFeatures] of the type of the weight's bias</param>
    internal static void Multiply(WeightView view, GemmInput x, nint y)
    {
        int parts = view.PartCount(x.RowCount, x.Kernel);
        KernelThreadPool.ParallelFor(parts, part =>
        {
            var (first, last) = view.PartRange(part, parts);
            view.Multiply(x, y, first, last);
        }, view.Address);
    }

    /// <summary>Whether the kernels can read a tensor: it is on the CPU, not empty, and no autograd graph is built.</summary>
    internal static bool Supports(Tensor input) =>
        IsEnabled && input.device_type == DeviceType.CPU && !is_grad_enabled() && input.numel() is > 0 and < 1 << 30;

    /// <summary>
    /// The elements as float32: the tensor's own memory, or a copy in the thread's scratch buffer <paramref name="slot"/>.
    /// </summary>
    /// <param name="tensor">Contiguous, float32 or bfloat16.</param>
    internal static float* AsFloat32(Tensor tensor, int slot)
    {
        nint data = NativeTensor.DataPointer(tensor.Handle);
        if (tensor.dtype == ScalarType.Float32) return (float*)data;
        long count = tensor.numel();
        float* wide = ScratchBuffer.GetFloats(slot, count);
        const long PartElements = 1 << 16;
        KernelThreadPool.ParallelFor((int)((count + PartElements - 1) / PartElements), part =>
        {
            long start = part * PartElements;
            BFloat16.Widen((ushort*)data + start, wide + start, Math.Min(PartElements, count - start));
        });
        return wide;
    }
}
