using Ndif.Engine.Kernels;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine;

/// <summary>Converts between TorchSharp's tensors and <see cref="TensorData"/>.</summary>
public static class TensorBytes
{
    /// <summary>A type that TorchSharp does not name, and that operations on float16 return.</summary>
    private const torch.ScalarType ComplexFloat16 = (torch.ScalarType)8;

    /// <summary>Creates a tensor with a copy of the data, on a device.</summary>
    public static torch.Tensor ToTorch(this TensorData data, torch.Device? device = null)
    {
        torch.Tensor tensor = torch.empty(data.Shape.ToArray(), data.Type.ToTorch());
        if (data.Count > 0) Write(data.Bytes.Span, tensor);
        if (device is null || device.type == DeviceType.CPU) return tensor;
        using (tensor) return tensor.to(device);
    }

    /// <summary>Copies the elements of a tensor, detached from its graph and device.</summary>
    /// <exception cref="NdifException">
    /// BAD_ARGUMENT: the tensor is on the meta device, which a scan uses, and has no elements.
    /// </exception>
    public static TensorData ToData(this torch.Tensor tensor)
    {
        if (tensor.device_type == DeviceType.META)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"A scan has shapes and no numbers; this tensor's is [{string.Join(", ", tensor.shape)}].",
                "Save value.Shape instead of the value.");
        if (tensor.numel() > Array.MaxLength / tensor.element_size())
            throw Errors.CreateException(ErrorCode.LimitExceeded,
                $"A tensor of [{string.Join(", ", tensor.shape)}] has more than the {Array.MaxLength:N0} bytes that a message can have.",
                "Take a slice, a mean or a narrower type of it.");
        using torch.Tensor contiguous = ToContiguousCpu(tensor);
        byte[] bytes = GC.AllocateUninitializedArray<byte>(checked((int)(contiguous.numel() * contiguous.element_size())));
        if (bytes.Length > 0) contiguous.bytes.CopyTo(bytes);
        return new TensorData(FromTorch(contiguous.dtype), contiguous.shape, bytes);
    }

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

    private static void Write(ReadOnlySpan<byte> bytes, torch.Tensor tensor) => bytes.CopyTo(tensor.bytes);
}
