using Ndif.Engine.Kernels;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine;

/// <summary>Between TorchSharp's tensors and bytes.</summary>
public static class TensorBytes
{
    /// <summary>TorchSharp has no name for it, but operations on float16 make it.</summary>
    private const torch.ScalarType ComplexFloat16 = (torch.ScalarType)8;

    /// <summary>A tensor of a copy of the data, on a device.</summary>
    public static torch.Tensor ToTorch(this TensorData data, torch.Device? device = null)
    {
        torch.Tensor tensor = torch.empty(data.Shape.ToArray(), data.Type.ToTorch());
        if (data.Count > 0) Write(data.Bytes.Span, tensor);
        if (device is null || device.type == DeviceType.CPU) return tensor;
        using (tensor) return tensor.to(device);
    }

    /// <summary>A copy of a tensor's elements, detached from its graph and from its device.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: it is a scan's tensor, which has no elements.</exception>
    public static TensorData ToData(this torch.Tensor tensor)
    {
        if (tensor.device_type == DeviceType.META)
            throw Errors.CreateException(ErrorCode.BadArgument, $"A scan has shapes and no numbers; this tensor's is [{string.Join(", ", tensor.shape)}].", "Save value.Shape instead of the value.");
        using torch.Tensor plain = ToContiguousCpu(tensor);
        byte[] bytes = GC.AllocateUninitializedArray<byte>(checked((int)(plain.numel() * plain.element_size())));
        if (bytes.Length > 0) plain.bytes.CopyTo(bytes);
        return new TensorData(FromTorch(plain.dtype), plain.shape, bytes);
    }

    /// <summary>Writes a plain tensor's elements, of any size, without a copy in between: in parts that stay in the processor's cache on their way.</summary>
    public static void CopyTo(torch.Tensor contiguous, Stream stream)
    {
        const int Part = 1 << 20;
        // `bytes` throws beyond 2 GB, so the parts are taken from a flat view
        using torch.Tensor flat = contiguous.view(-1);
        long elements = Part / contiguous.element_size();
        for (long at = 0; at < contiguous.numel(); at += elements)
        {
            using torch.Tensor part = flat.narrow(0, at, Math.Min(elements, contiguous.numel() - at));
            stream.Write(part.bytes);
        }
    }

    /// <summary>The same elements, detached, on the CPU, in row-major order and of a type that data have: a new handle, which may share memory.</summary>
    public static torch.Tensor ToContiguousCpu(torch.Tensor tensor)
    {
        using var scope = torch.NewDisposeScope();
        torch.Tensor plain = tensor.detach().cpu().contiguous();
        if (plain.dtype == ComplexFloat16) plain = plain.to(torch.ScalarType.ComplexFloat32); // of which there is no data
        return plain.MoveToOuterDisposeScope();
    }

    /// <exception cref="NdifException">UNSUPPORTED: data have no such type.</exception>
    public static DType FromTorch(torch.ScalarType type) => type.ToData()
        ?? throw Errors.CreateException(ErrorCode.Unsupported, $"A tensor of {type} cannot be sent.", "Convert it, as with `.to(float32)`.");

    private static void Write(ReadOnlySpan<byte> bytes, torch.Tensor tensor) => bytes.CopyTo(tensor.bytes);
}
