using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>A tensor's numbers for who works on them outside of libtorch.</summary>
public static unsafe class TensorElements
{
    /// <summary>Copies all numbers, in the order of their indices, as float32.</summary>
    /// <param name="destination">At least as many.</param>
    public static void CopyTo(Tensor tensor, Span<float> destination)
    {
        using Tensor here = tensor.cpu().contiguous();
        int count = checked((int)here.numel());
        destination = destination[..count];
        if (here.dtype == ScalarType.BFloat16 && LinearKernels.IsEnabled)
        {
            fixed (float* start = destination) BFloat16.Widen((ushort*)NativeTensor.DataPointer(here.Handle), start, count);
            return;
        }
        using Tensor wide = here.to(ScalarType.Float32);
        new ReadOnlySpan<float>((void*)NativeTensor.DataPointer(wide.Handle), count).CopyTo(destination);
    }
}
