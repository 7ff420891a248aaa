using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>Copies tensor elements into managed memory.</summary>
internal static unsafe class TensorElements
{
    /// <summary>Copies all elements in row-major order as float32.</summary>
    /// <param name="destination">Has room for all elements.</param>
    public static void CopyTo(Tensor tensor, Span<float> destination)
    {
        using Tensor source = tensor.cpu().contiguous();
        int count = checked((int)source.numel());
        destination = destination[..count];
        if (source.dtype == ScalarType.BFloat16 && LinearKernels.IsEnabled)
        {
            fixed (float* start = destination) BFloat16.Widen((ushort*)NativeTensor.DataPointer(source.Handle), start, count);
            return;
        }
        using Tensor converted = source.to(ScalarType.Float32);
        new ReadOnlySpan<float>((void*)NativeTensor.DataPointer(converted.Handle), count).CopyTo(destination);
    }
}
