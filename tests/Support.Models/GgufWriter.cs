using System.Text;
using static TorchSharp.torch;

namespace Ndif.Tests.Support.Models;

/// <summary>Writes GGUF files (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).</summary>
public sealed class GgufWriter
{
    private readonly List<(string Key, object Value)> _metadata = [];
    private readonly List<(string Name, long[] Shape, uint Type, byte[] Data)> _tensors = [];

    /// <summary>Adds metadata: an int (uint32), float, bool, string, or an array of one of them.</summary>
    public GgufWriter Set(string key, object value)
    {
        _metadata.Add((key, value));
        return this;
    }

    /// <summary>Adds a tensor as F32.</summary>
    public GgufWriter Add(string name, Tensor tensor)
    {
        using Tensor data = tensor.to(ScalarType.Float32).contiguous();
        return Add(name, tensor.shape, 0, data.bytes.ToArray());
    }

    /// <summary>Adds a tensor in a type.</summary>
    /// <param name="shape">In PyTorch's order.</param>
    /// <param name="type">The number of the type in ggml.</param>
    public GgufWriter Add(string name, long[] shape, uint type, byte[] data)
    {
        _tensors.Add((name, shape, type, data));
        return this;
    }

    public byte[] ToBytes(uint version = 3, int alignment = 32)
    {
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream);
        writer.Write(0x46554747u);
        writer.Write(version);
        writer.Write((ulong)_tensors.Count);
        writer.Write((ulong)_metadata.Count);
        foreach (var (key, value) in _metadata)
        {
            WriteText(writer, key);
            writer.Write(TypeOf(value));
            WriteValue(writer, value);
        }
        long offset = 0;
        foreach (var (name, shape, type, data) in _tensors)
        {
            WriteText(writer, name);
            writer.Write((uint)shape.Length);
            foreach (long size in shape.Reverse()) writer.Write((ulong)size);
            writer.Write(type);
            writer.Write((ulong)offset);
            offset = Align(offset + data.Length);
        }
        foreach (byte[] data in _tensors.Select(tensor => tensor.Data))
        {
            writer.Write(new byte[Align(stream.Position) - stream.Position]);
            writer.Write(data);
        }
        if (_tensors.Count == 0) writer.Write(new byte[Align(stream.Position) - stream.Position]);
        return stream.ToArray();

        long Align(long position) => (position + alignment - 1) / alignment * alignment;
    }

    private static uint TypeOf(object value) => value switch
    {
        int => 4, float => 6, bool => 7, string => 8, Array => 9, long => 10, _ => throw new ArgumentException($"{value.GetType()}"),
    };

    private static void WriteValue(BinaryWriter writer, object value)
    {
        switch (value)
        {
            case int number: writer.Write(number); break;
            case long number: writer.Write(number); break;
            case float number: writer.Write(number); break;
            case bool flag: writer.Write(flag); break;
            case string text: WriteText(writer, text); break;
            case Array items:
                writer.Write(items.Length == 0 ? 4u : TypeOf(items.GetValue(0)!));
                writer.Write((ulong)items.Length);
                foreach (object item in items) WriteValue(writer, item);
                break;
        }
    }

    private static void WriteText(BinaryWriter writer, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((ulong)bytes.Length);
        writer.Write(bytes);
    }
}
