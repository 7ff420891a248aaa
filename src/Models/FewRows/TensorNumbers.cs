using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>A tensor's numbers for who works on them outside of libtorch.</summary>
public static unsafe class TensorNumbers
{
    /// <summary>Copies all numbers, in the order of their indices, as float32.</summary>
    /// <param name="to">At least as many.</param>
    public static void CopyTo(Tensor tensor, Span<float> to)
    {
        using Tensor here = tensor.cpu().contiguous();
        int count = checked((int)here.numel());
        to = to[..count];
        if (here.dtype == ScalarType.BFloat16 && Products.IsEnabled)
        {
            fixed (float* start = to) BFloat16.Widen((ushort*)NativeTensor.Data(here.Handle), start, count);
            return;
        }
        using Tensor wide = here.to(ScalarType.Float32);
        new ReadOnlySpan<float>((void*)NativeTensor.Data(wide.Handle), count).CopyTo(to);
    }
}
