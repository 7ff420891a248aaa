using System.Runtime.Intrinsics;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>
/// Products with a weight, by the names that PyTorch has for them. Those of a few rows, as in decoding and on short prompts, are bound by reading the weight from memory, and
/// libtorch's kernels read it at a third to a half of the memory's speed (docs/decisions/0007). Here each part of the weight is read
/// once, by all cores, and used for all rows while it is in the cache.
/// </summary>
/// <remarks>
/// Sums are made in another order than libtorch's, so results differ in the last bits. Used on the CPU only, without a graph, for float32
/// and bfloat16 (summed in float32), where the processor has 512-bit vectors. Off with <c>NDIF_FEW_ROWS=0</c>.
/// </remarks>
public static unsafe class Products
{
    /// <summary>With more rows libtorch's products are quicker: it multiplies bfloat16 by instructions that .NET does not offer.</summary>
    public static int MostRows(ScalarType type) => type == ScalarType.Float32 ? 16 : 2;

    /// <summary>A weight smaller than this is not worth a second core.</summary>
    private const long Alone = 1 << 16;

    /// <summary>Whether these kernels are used at all. Default: where the processor can, unless NDIF_FEW_ROWS is 0.</summary>
    public static bool IsEnabled { get; set; } = Vector512.IsHardwareAccelerated && Environment.GetEnvironmentVariable("NDIF_FEW_ROWS") != "0";

    /// <summary>y = x Wᵀ + b. PyTorch's <c>nn.functional.linear</c></summary>
    /// <param name="input">[..., inputs]</param>
    /// <param name="weight">[outputs, inputs]</param>
    /// <param name="bias">[outputs]</param>
    public static Tensor linear(Tensor input, Tensor weight, Tensor? bias) => ByRows(input, weight, bias) ?? nn.functional.linear(input, weight, bias);

    /// <summary>y = b + x W. PyTorch's <c>addmm</c></summary>
    /// <param name="bias">[outputs]</param>
    /// <param name="input">[rows, inputs]</param>
    /// <param name="weight">[inputs, outputs]</param>
    public static Tensor addmm(Tensor bias, Tensor input, Tensor weight) => ByColumns(input, weight, bias) ?? torch.addmm(bias, input, weight, 1, 1);

    /// <summary>y = x Wᵀ + b, or null if it is libtorch's to compute.</summary>
    /// <param name="input">[..., inputs]</param>
    /// <param name="weight">[outputs, inputs]</param>
    /// <param name="bias">[outputs]</param>
    internal static Tensor? ByRows(Tensor input, Tensor weight, Tensor? bias)
    {
        if (!Fits(input, weight, bias, inputs: weight.size(1), out int rows)) return null;
        int inputs = (int)weight.size(1), outputs = (int)weight.size(0);
        using Tensor x = input.contiguous();
        Tensor y = New(input, outputs);
        nint from = NativeTensor.Data(x.Handle), with = NativeTensor.Data(weight.Handle), to = NativeTensor.Data(y.Handle), add = bias is null ? 0 : NativeTensor.Data(bias.Handle);
        Action<int, int> part = weight.dtype == ScalarType.Float32
            ? (first, last) => RowKernels.Float32((float*)from, (float*)with, (float*)add, (float*)to, rows, inputs, outputs, first, last)
            : (first, last) => RowKernels.BFloat16((ushort*)from, (ushort*)with, (ushort*)add, (ushort*)to, rows, inputs, outputs, first, last);
        Split(outputs, (long)inputs * outputs, part);
        GC.KeepAlive(x);
        return y;
    }

    /// <summary>y = x W + b, or null if it is libtorch's to compute.</summary>
    /// <param name="input">[..., inputs]</param>
    /// <param name="weight">[inputs, outputs]</param>
    /// <param name="bias">[outputs]</param>
    internal static Tensor? ByColumns(Tensor input, Tensor weight, Tensor bias)
    {
        if (!Fits(input, weight, bias, inputs: weight.size(0), out int rows)) return null;
        int inputs = (int)weight.size(0), outputs = (int)weight.size(1);
        using Tensor x = input.contiguous();
        Tensor y = New(input, outputs);
        nint from = NativeTensor.Data(x.Handle), with = NativeTensor.Data(weight.Handle), to = NativeTensor.Data(y.Handle), add = NativeTensor.Data(bias.Handle);
        Action<int, int> part = weight.dtype == ScalarType.Float32
            ? (first, last) => ColumnKernels.Float32((float*)from, (float*)with, (float*)add, (float*)to, rows, inputs, outputs, first, last)
            : (first, last) => ColumnKernels.BFloat16((ushort*)from, (ushort*)with, (ushort*)add, (ushort*)to, rows, inputs, outputs, first, last);
        Split(outputs, (long)inputs * outputs, part);
        GC.KeepAlive(x);
        return y;
    }

    private static bool Fits(Tensor input, Tensor weight, Tensor? bias, long inputs, out int rows)
    {
        rows = 0;
        if (!IsEnabled || weight.device_type != DeviceType.CPU || input.device_type != DeviceType.CPU || is_grad_enabled()) return false;
        ScalarType type = weight.dtype;
        if (type is not (ScalarType.Float32 or ScalarType.BFloat16) || input.dtype != type || (bias is not null && bias.dtype != type)) return false;
        long elements = input.numel();
        if (elements == 0 || elements > MostRows(type) * inputs || inputs % 32 != 0 || inputs > 1 << 20 || input.size(-1) != inputs || !weight.is_contiguous()) return false;
        rows = (int)(elements / inputs);
        return true;
    }

    private static Tensor New(Tensor input, long outputs)
    {
        long[] shape = input.shape;
        shape[^1] = outputs;
        return empty(shape, input.dtype);
    }

    /// <summary>Outputs in parts of whole vectors, one for each core.</summary>
    private static void Split(int outputs, long work, Action<int, int> part)
    {
        int parts = work < Alone ? 1 : Crew.Size;
        int each = (outputs / parts + 31) / 32 * 32;
        Crew.Run(parts, i =>
        {
            int first = Math.Min(i * each, outputs);
            int last = i == parts - 1 ? outputs : Math.Min(first + each, outputs);
            if (first < last) part(first, last);
        });
    }
}
