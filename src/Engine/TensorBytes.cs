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
    public static void CopyTo(torch.Tensor contiguous, Stream stream, CancellationToken cancellationToken = default)
    {
        const int PartBytes = 1 << 20;
        // `bytes` throws for more than 2 GB, so the parts are slices of a flat view
        using torch.Tensor flat = contiguous.view(-1);
        long elements = PartBytes / contiguous.element_size();
        for (long start = 0; start < contiguous.numel(); start += elements)
        {
            cancellationToken.ThrowIfCancellationRequested();
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

    /// <summary>Returns whether a tensor can be written as it is (<see cref="CopyTo"/>).</summary>
    internal static bool IsPlain(torch.Tensor tensor) =>
        tensor.device_type is DeviceType.CPU && tensor.dtype != ComplexFloat16 && tensor.is_contiguous();

    /// <summary>
    /// Copies the elements into a new, contiguous CPU tensor of a type that <see cref="TensorData"/> has, in parts of a few milliseconds.
    /// It belongs to no dispose scope.
    /// </summary>
    /// <param name="betweenParts">Called between two parts; what it throws ends the copy.</param>
    internal static torch.Tensor CopyInParts(torch.Tensor tensor, Action betweenParts)
    {
        const int PartBytes = 8 << 20;
        using DisposeScope scope = torch.NewDisposeScope();
        using var noGraph = torch.no_grad();
        torch.ScalarType type = tensor.dtype == ComplexFloat16 ? torch.ScalarType.ComplexFloat32 : tensor.dtype;
        torch.Tensor source = tensor.detach(), copy = torch.empty(tensor.shape, type);
        long[] shape = tensor.shape;
        if (shape.Length == 0 || copy.numel() == 0) return copy.copy_(source).DetachFromDisposeScope();
        int dim = Array.IndexOf(shape, shape.Max());
        long rows = Math.Max(1, PartBytes / (copy.numel() / shape[dim] * copy.element_size()));
        for (long start = 0; start < shape[dim]; start += rows)
        {
            if (start > 0) betweenParts();
            long length = Math.Min(rows, shape[dim] - start);
            using torch.Tensor from = source.narrow(dim, start, length), to = copy.narrow(dim, start, length);
            to.copy_(from);
        }
        return copy.DetachFromDisposeScope();
    }

    /// <exception cref="NdifException">UNSUPPORTED: <see cref="TensorData"/> has no such type.</exception>
    public static DType FromTorch(torch.ScalarType type) => type.ToData()
        ?? throw Errors.CreateException(ErrorCode.Unsupported, $"A tensor of {type} cannot be sent.",
            "Convert it, as with `.to(float32)`.");
}
