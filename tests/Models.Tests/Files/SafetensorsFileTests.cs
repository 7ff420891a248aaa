using System.Buffers.Binary;
using System.Text;
using Ndif.Models.Files;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Files;

public sealed class SafetensorsFileTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void WhatIsWritten_IsRead_InEveryElementType()
    {
        using var scope = NewDisposeScope();
        Dictionary<string, Tensor> written = new()
        {
            ["f32"] = randn(3, 4), ["bf16"] = randn(5).to(ScalarType.BFloat16), ["f16"] = randn(2, 2).to(ScalarType.Float16),
            ["f64"] = randn([7], ScalarType.Float64), ["i64"] = arange(6), ["u8"] = ones([3], ScalarType.Byte),
            ["flag"] = ones([3], ScalarType.Bool),
            ["scalar"] = tensor(2.5f), ["empty"] = zeros(0, 4), ["turned"] = randn(3, 5).t(),
        };
        SafetensorsWriter.Write(_folder.File("a.safetensors"), written, new Dictionary<string, string> { ["format"] = "pt" });
        using SafetensorsFile file = SafetensorsFile.Open(_folder.File("a.safetensors"));
        Assert.Equal("pt", file.Metadata["format"]);
        Assert.Equal(written.Keys.Order(), file.Entries.Keys.Order());
        foreach (var (name, tensor) in written)
        {
            using Tensor read = file.Read(name);
            Assert.Equal(tensor.dtype, read.dtype);
            Assert.Equal(tensor.shape, read.shape);
            Assert.True(read.Equals(tensor), name);
        }
    }

    [Fact]
    public void Tensor_OutlivesTheFile_AndTheMappingGoesWithTheLastOne()
    {
        string path = WriteOnes();
        SafetensorsFile file = SafetensorsFile.Open(path);
        Tensor first = file.Read("a"), second = file.Read("b");
        file.Dispose();
        Assert.Equal(1, FileMapping.LiveCount(_folder.Path));
        first.Dispose();
        Tensor view = second.narrow(0, 0, 1);
        second.Dispose();
        Assert.Equal(1f, view.item<float>());
        Assert.Equal(1, FileMapping.LiveCount(_folder.Path));
        view.Dispose();
        Assert.Equal(0, FileMapping.LiveCount(_folder.Path));
    }

    [Fact]
    public void AnEditInPlace_NeverReachesTheFile()
    {
        string path = WriteOnes();
        using (SafetensorsFile file = SafetensorsFile.Open(path))
        using (Tensor tensor = file.Read("a"))
        {
            tensor.fill_(7);
            Assert.Equal(7f, tensor[0].item<float>());
        }
        using SafetensorsFile again = SafetensorsFile.Open(path);
        using Tensor unchanged = again.Read("a");
        Assert.Equal(1f, unchanged[0].item<float>());
    }

    [Fact]
    public void UnalignedData_IsReadAll_TheSame()
    {
        string header = """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""";
        while (header.Length % 4 != 1) header += " ";
        using SafetensorsFile file = Open(header, [.. BitConverter.GetBytes(1.5f), .. BitConverter.GetBytes(-2f)]);
        using Tensor tensor = file.Read("a");
        Assert.Equal([1.5f, -2f], tensor.data<float>().ToArray());
    }

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 4, "truncated")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 8, "bytes after the last tensor")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12,
        "overlap")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}""", 12,
        "hole")]
    [InlineData("""{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}""", 4, "unknown element type `F31`")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,4]}}""", 4, "takes 12 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", 4, "non-negative")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""", 4, "non-negative")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}""", 4, "too large")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}""", 4, "takes 4 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4,
        "twice")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1]}}""", 4, "two data_offsets")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}""", 4, "unknown key `x`")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} x""", 4, "not the JSON")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],""", 4, "not the JSON")]
    [InlineData("""[1]""", 4, "not the JSON")]
    [InlineData("""{"a":7}""", 4, "not the JSON")]
    [InlineData("", 0, "not the JSON")]
    public void DamagedFile_IsRefused_AndSaysWhy(string header, int dataBytes, string why)
    {
        CheckpointException error = Assert.Throws<CheckpointException>(() => Open(header, new byte[dataBytes]));
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.Contains("hostile.safetensors", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, FileMapping.LiveCount(_folder.Path));
    }

    [Theory]
    [InlineData(0UL, "is empty")]
    [InlineData(ulong.MaxValue, "the format allows")]
    [InlineData(99_999_999UL, "is truncated")]
    public void HeaderLength_IsNotBelieved(ulong length, string why)
    {
        byte[] bytes = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, length);
        File.WriteAllBytes(_folder.File("x.safetensors"), length == 0 ? [] : bytes);
        CheckpointException error = Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(_folder.File("x.safetensors")));
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RandomDamage_NeverDoesMoreThanThrow()
    {
        byte[] good = File.ReadAllBytes(WriteOnes());
        Random random = new(1);
        for (int i = 0; i < 2000; i++)
        {
            byte[] bad = [.. good[..random.Next(good.Length / 2, good.Length + 1)]];
            for (int k = random.Next(4); k > 0; k--) bad[random.Next(bad.Length)] = (byte)random.Next(256);
            File.WriteAllBytes(_folder.File("x.safetensors"), bad);
            try
            {
                using SafetensorsFile file = SafetensorsFile.Open(_folder.File("x.safetensors"));
                foreach (string name in file.Entries.Keys) file.Read(name).Dispose();
            }
            catch (CheckpointException) { }
        }
    }

    [Fact]
    public void MissingFileAndMissingTensor_AreNamed()
    {
        Assert.Contains("none.safetensors",
            Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(_folder.File("none.safetensors"))).Message,
            StringComparison.Ordinal);
        using SafetensorsFile file = SafetensorsFile.Open(WriteOnes());
        Assert.Contains("`c`", Assert.Throws<CheckpointException>(() => file.Read("c")).Message, StringComparison.Ordinal);
    }

    private string WriteOnes()
    {
        using var scope = NewDisposeScope();
        string path = _folder.File("ones.safetensors");
        SafetensorsWriter.Write(path, new Dictionary<string, Tensor> { ["a"] = ones(2), ["b"] = ones(3) });
        return path;
    }

    private SafetensorsFile Open(string header, byte[] data)
    {
        byte[] json = Encoding.UTF8.GetBytes(header), length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, json.Length);
        string path = _folder.File("hostile.safetensors");
        File.WriteAllBytes(path, [.. length, .. json, .. data]);
        return SafetensorsFile.Open(path);
    }
}
