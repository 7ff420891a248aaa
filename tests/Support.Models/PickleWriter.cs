using System.IO.Compression;
using System.Text;
using static TorchSharp.torch;

namespace Ndif.Tests.Support.Models;

/// <summary>Writes files of torch.save: a state_dict of float32 tensors in a zip file.</summary>
public static class PickleWriter
{
    /// <summary>The zip file with the pickle of a state_dict.</summary>
    public static byte[] Write(IReadOnlyDictionary<string, Tensor> tensors)
    {
        List<byte[]> storages = [];
        using MemoryStream pickle = new();
        Global(pickle, 0x80, 2);
        Text(pickle, 'c', "collections\nOrderedDict\n");
        Text(pickle, ')', "R(");
        foreach (var (name, tensor) in tensors)
        {
            using Tensor data = tensor.to(ScalarType.Float32).contiguous();
            Unicode(pickle, name);
            Text(pickle, 'c', "torch._utils\n_rebuild_tensor_v2\n((");
            Unicode(pickle, "storage");
            Text(pickle, 'c', "torch\nFloatStorage\n");
            Unicode(pickle, $"{storages.Count}");
            Unicode(pickle, "cpu");
            Number(pickle, tensor.numel());
            Text(pickle, 't', "Q");
            Number(pickle, 0);
            Tuple(pickle, tensor.shape);
            Tuple(pickle, tensor.stride());
            Global(pickle, 0x89);
            Text(pickle, 'c', "collections\nOrderedDict\n)RtR");
            storages.Add(data.bytes.ToArray());
        }
        Text(pickle, 'u', ".");
        return Zip(pickle.ToArray(), storages);
    }

    /// <summary>A zip file with a pickle of its own.</summary>
    public static byte[] Zip(byte[] pickle, IReadOnlyList<byte[]> storages)
    {
        using MemoryStream stream = new();
        using (ZipArchive zip = new(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            Add(zip, "archive/data.pkl", pickle);
            Add(zip, "archive/byteorder", "little"u8.ToArray());
            for (int i = 0; i < storages.Count; i++) Add(zip, $"archive/data/{i}", storages[i]);
        }
        return stream.ToArray();
    }

    private static void Add(ZipArchive zip, string name, byte[] content)
    {
        using Stream entry = zip.CreateEntry(name, CompressionLevel.NoCompression).Open();
        entry.Write(content);
    }

    private static void Global(Stream pickle, params byte[] bytes) => pickle.Write(bytes);

    private static void Text(Stream pickle, char opcode, string rest) => pickle.Write(Encoding.ASCII.GetBytes(opcode + rest));

    private static void Unicode(Stream pickle, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        pickle.WriteByte((byte)'X');
        pickle.Write(BitConverter.GetBytes(bytes.Length));
        pickle.Write(bytes);
    }

    private static void Number(Stream pickle, long value)
    {
        pickle.WriteByte((byte)'J');
        pickle.Write(BitConverter.GetBytes((int)value));
    }

    private static void Tuple(Stream pickle, long[] values)
    {
        pickle.WriteByte((byte)'(');
        foreach (long value in values) Number(pickle, value);
        pickle.WriteByte((byte)'t');
    }
}
