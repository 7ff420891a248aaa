using Ndif.Engine;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif;

/// <summary>
/// TorchSharp's tensors in a trace: arithmetic with values takes them as they are, <c>hidden + direction</c>. Elsewhere
/// <see cref="ToData"/> makes a constant of one, <c>h[1].Hidden[..] = tensor.ToData()</c>, and
/// <see cref="ToTorch(Saved, torch.Device?)"/> makes a tensor of a result. C# has no conversions between types of other libraries.
/// </summary>
public static class TensorConversions
{
    extension(torch.Tensor)
    {
        /// <summary>Adds element by element. The tensor is copied into the program.</summary>
        public static Value operator +(Value left, torch.Tensor right) => left + Constant(right);
        /// <inheritdoc cref="op_Addition(Value, torch.Tensor)"/>
        public static Value operator +(torch.Tensor left, Value right) => Constant(left) + right;
        /// <summary>Subtracts element by element. The tensor is copied into the program.</summary>
        public static Value operator -(Value left, torch.Tensor right) => left - Constant(right);
        /// <inheritdoc cref="op_Subtraction(Value, torch.Tensor)"/>
        public static Value operator -(torch.Tensor left, Value right) => Constant(left) - right;
        /// <summary>Multiplies element by element. The tensor is copied into the program.</summary>
        public static Value operator *(Value left, torch.Tensor right) => left * Constant(right);
        /// <inheritdoc cref="op_Multiply(Value, torch.Tensor)"/>
        public static Value operator *(torch.Tensor left, Value right) => Constant(left) * right;
        /// <summary>Divides element by element. The tensor is copied into the program.</summary>
        public static Value operator /(Value left, torch.Tensor right) => left / Constant(right);
        /// <inheritdoc cref="op_Division(Value, torch.Tensor)"/>
        public static Value operator /(torch.Tensor left, Value right) => Constant(left) / right;
    }

    /// <summary>Creates a tensor with a copy of the data, on a device.</summary>
    public static torch.Tensor ToTorch(this TensorData data, torch.Device? device = null)
    {
        torch.Tensor tensor = torch.empty(data.Shape.ToArray(), data.Type.ToTorch());
        if (data.Count > 0) data.Bytes.Span.CopyTo(tensor.bytes);
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
        using torch.Tensor contiguous = TensorBytes.ToContiguousCpu(tensor);
        byte[] bytes = GC.AllocateUninitializedArray<byte>(checked((int)(contiguous.numel() * contiguous.element_size())));
        if (bytes.Length > 0) contiguous.bytes.CopyTo(bytes);
        return new TensorData(TensorBytes.FromTorch(contiguous.dtype), contiguous.shape, bytes);
    }

    /// <summary>The result of a run as a tensor of TorchSharp, which the caller owns.</summary>
    /// <param name="device">Null for the CPU.</param>
    /// <exception cref="InvalidOperationException">There is no result yet, or it is not a tensor.</exception>
    public static torch.Tensor ToTorch(this Saved saved, torch.Device? device = null) => saved.Tensor.ToTorch(device);

    private static Value Constant(torch.Tensor tensor) => tensor.ToData();
}
