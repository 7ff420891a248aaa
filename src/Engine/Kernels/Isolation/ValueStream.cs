using System.Text;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels.Isolation;

/// <summary>Writes and reads the arguments and results of operations between this process and one that computes an operation.</summary>
/// <remarks>Both processes run the same files, so the format has no version.</remarks>
internal static class ValueStream
{
    private const int PartBytes = 1 << 20;

    private enum Kind : byte { None, Bool, Int, Real, Text, List, Tuple, ElementType, Tensor }

    public static void Write(BinaryWriter writer, object? value)
    {
        switch (value)
        {
            case null: writer.Write((byte)Kind.None); break;
            case bool flag: writer.Write((byte)Kind.Bool); writer.Write(flag); break;
            case long or int: writer.Write((byte)Kind.Int); writer.Write(Numbers.ToLong(Numbers.From(value, "")!)); break;
            case double or float: writer.Write((byte)Kind.Real); writer.Write(Numbers.ToDouble(Numbers.From(value, "")!)); break;
            case string text: writer.Write((byte)Kind.Text); writer.Write(text); break;
            case ScalarType type: writer.Write((byte)Kind.ElementType); writer.Write((int)type); break;
            case DType type: writer.Write((byte)Kind.ElementType); writer.Write((int)type.ToTorch()); break;
            case Tensor tensor: WriteTensor(writer, tensor); break;
            case long[] numbers: Write(writer, numbers.Select(number => (object?)number).ToList()); break;
            case object?[] tuple: writer.Write((byte)Kind.Tuple); WriteItems(writer, tuple); break;
            case IReadOnlyList<object?> list: writer.Write((byte)Kind.List); WriteItems(writer, list); break;
            default:
                throw Errors.CreateException(ErrorCode.Unsupported,
                    $"A value of type {Describe.Kind(value)} cannot be sent to another process.");
        }
    }

    /// <summary>Reads a value; its tensors belong to the current dispose scope.</summary>
    public static object? Read(BinaryReader reader) => (Kind)reader.ReadByte() switch
    {
        Kind.Bool => reader.ReadBoolean(),
        Kind.Int => reader.ReadInt64(),
        Kind.Real => reader.ReadDouble(),
        Kind.Text => reader.ReadString(),
        Kind.ElementType => (ScalarType)reader.ReadInt32(),
        Kind.Tensor => ReadTensor(reader),
        Kind.Tuple => ReadItems(reader),
        Kind.List => ReadItems(reader).ToList(),
        _ => null,
    };

    /// <summary>The bytes of a value as it is sent: of an expanded tensor its own elements.</summary>
    public static double BytesOf(object? value) => value switch
    {
        Tensor tensor => (double)ShapeMath.ElementCount(CompactShape(tensor)) * tensor.element_size(),
        IReadOnlyList<object?> items => items.Sum(BytesOf),
        _ => 0,
    };

    private static void WriteItems(BinaryWriter writer, IReadOnlyList<object?> items)
    {
        writer.Write(items.Count);
        foreach (object? item in items) Write(writer, item);
    }

    private static object?[] ReadItems(BinaryReader reader)
    {
        var items = new object?[reader.ReadInt32()];
        for (int i = 0; i < items.Length; i++) items[i] = Read(reader);
        return items;
    }

    private static void WriteTensor(BinaryWriter writer, Tensor tensor)
    {
        using var scope = NewDisposeScope();
        long[] shape = tensor.shape, compact = CompactShape(tensor);
        Tensor elements = tensor.detach();
        for (int d = 0; d < shape.Length; d++)
            if (compact[d] != shape[d]) elements = elements.narrow(d, 0, 1);
        elements = elements.cpu().contiguous();
        writer.Write((byte)Kind.Tensor);
        writer.Write((int)tensor.dtype);
        writer.Write(shape.Length);
        foreach (long size in shape) writer.Write(size);
        foreach (long size in compact) writer.Write(size);
        writer.Flush();
        if (elements.numel() > 0) TensorBytes.CopyTo(elements, writer.BaseStream);
    }

    private static Tensor ReadTensor(BinaryReader reader)
    {
        var type = (ScalarType)reader.ReadInt32();
        var shape = new long[reader.ReadInt32()];
        var compact = new long[shape.Length];
        for (int d = 0; d < shape.Length; d++) shape[d] = reader.ReadInt64();
        for (int d = 0; d < shape.Length; d++) compact[d] = reader.ReadInt64();
        Tensor tensor = empty(compact, type);
        if (tensor.numel() > 0)
        {
            using Tensor flat = tensor.view(-1);
            long elements = PartBytes / tensor.element_size();
            for (long start = 0; start < flat.numel(); start += elements)
            {
                using Tensor part = flat.narrow(0, start, Math.Min(elements, flat.numel() - start));
                reader.BaseStream.ReadExactly(part.bytes);
            }
        }
        return compact.AsSpan().SequenceEqual(shape) ? tensor : tensor.expand(shape);
    }

    /// <summary>The shape without what is expanded.</summary>
    private static long[] CompactShape(Tensor tensor)
    {
        long[] shape = tensor.shape, stride = tensor.stride();
        for (int d = 0; d < shape.Length; d++)
            if (stride[d] == 0 && shape[d] > 1) shape[d] = 1;
        return shape;
    }
}
