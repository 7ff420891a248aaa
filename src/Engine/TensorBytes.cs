using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine;

/// <summary>The bytes of TorchSharp's tensors. <see cref="TensorConversions"/> converts whole tensors.</summary>
public static class TensorBytes
{
    /// <summary>A type that TorchSharp does not name, and that operations on float16 return.</summary>
    private const torch.ScalarType ComplexFloat16 = (torch.ScalarType)8;

    /// <summary>
    /// Writes the elements of a contiguous CPU tensor of any size to a stream, without an intermediate copy. The parts are small enough
    /// to stay in the processor's cache.
    /// </summary>
    public static void CopyTo(torch.Tensor contiguous, Stream stream)
    {
        const int PartBytes = 1 << 20;
        // `bytes` throws for more than 2 GB, so the parts are slices of a flat view
        using torch.Tensor flat = contiguous.view(-1);
        long elements = PartBytes / contiguous.element_size();
        for (long start = 0; start < contiguous.numel(); start += elements)
        {
            using torch.Tensor slice = flat.narrow(0, start, Math.Min(elements, contiguous.numel() - start));
            stream.Write(slice.bytes);
        }
    }

    /// <summary>
    /// Returns the elements as a detached, contiguous CPU tensor of a type that <see cref="TensorData"/> has: a new handle, which may
    /// share memory.
    /// </summary>
    public static torch.Tensor ToContiguousCpu(torch.Tensor tensor)
    {
        using var scope = torch.NewDisposeScope();
        torch.Tensor contiguous = tensor.detach().cpu().contiguous();
        // TensorData has no complex float16
        if (contiguous.dtype == ComplexFloat16) contiguous = contiguous.to(torch.ScalarType.ComplexFloat32);
        return contiguous.MoveToOuterDisposeScope();
    }

    /// <exception cref="NdifException">UNSUPPORTED: <see cref="TensorData"/> has no such type.</exception>
    public static DType FromTorch(torch.ScalarType type) => type.ToData()
        ?? throw Errors.CreateException(ErrorCode.Unsupported, $"A tensor of {type} cannot be sent.",
            "Convert it, as with `.to(float32)`.");
}
