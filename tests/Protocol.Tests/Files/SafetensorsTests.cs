using System.Buffers.Binary;
using System.Text;

namespace Ndif.Protocol.Tests.Files;

public sealed class SafetensorsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("ndif-test-").FullName;

    private string FilePath => Path.Combine(_folder, "a.safetensors");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void WhatIsWritten_IsRead_WithMetadata()
    {
        Dictionary<string, TensorData> tensors = Enum.GetValues<DType>().Where(type => type is not DType.Complex128)
            .ToDictionary(type => type.TorchName(), type => new TensorData(type, [2, 3], new byte[6 * type.ItemSize()]));
        tensors["scalar"] = TensorData.FromArray([2.5f]).Reshape();
        tensors["empty"] = TensorData.Zeros([0, 4]);
        tensors["\"ü"] = TensorData.Randn([4, 5], seed: 1);
        Safetensors.Save(FilePath, tensors, new Dictionary<string, string> { ["format"] = "pt", ["prompt"] = "Größe" });

        IReadOnlyDictionary<string, TensorData> read = Safetensors.Load(FilePath);
        Assert.Equal(tensors.Keys.Order(), read.Keys.Order());
        Assert.All(tensors, tensor => Assert.True(read[tensor.Key].SameAs(tensor.Value), tensor.Key));
        Assert.Equal("Größe", Safetensors.LoadMetadata(FilePath)["prompt"]);
        Assert.Equal(["scalar"], Safetensors.Load(FilePath, ["scalar"]).Keys);
        Assert.Equal(["a.safetensors"], Directory.GetFiles(_folder).Select(Path.GetFileName));
    }

    /// <summary>By the example of the format's README, and the order of the reference writer.</summary>
    [Fact]
    public void TheHeader_IsTheReferenceWriters()
    {
        Safetensors.Save(FilePath, [new("b", TensorData.Zeros([2])), new("wide", TensorData.Arange(1)), new("a", TensorData.Zeros([]))]);
        byte[] file = File.ReadAllBytes(FilePath);
        int length = (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        Assert.Equal(0, length % 8);
        Assert.Equal(
            """
            {"wide":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[],"data_offsets":[8,12]},
            "b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}}
            """.ReplaceLineEndings(""), Encoding.UTF8.GetString(file, 8, length).TrimEnd());
        Assert.Equal(8 + length + 20, file.Length);
    }

    [Theory]
    [InlineData("{}", 4, "after the last tensor")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 4, "truncated")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}""", 8, "too large")]
    [InlineData("""{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}""", 8, "`F99`")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}""", 8, "overlap")]
    [InlineData("""{"a":[1]}""", 0, "JSON")]
    public void ADamagedFile_IsRefused(string header, int data, string said)
    {
        byte[] json = Encoding.UTF8.GetBytes(header), file = new byte[8 + json.Length + data];
        BinaryPrimitives.WriteInt64LittleEndian(file, json.Length);
        json.CopyTo(file, 8);
        File.WriteAllBytes(FilePath, file);
        var error = Assert.ThrowsAny<CheckpointException>(() => Safetensors.Load(FilePath));
        Assert.Contains(said, error.Message, StringComparison.Ordinal);
        Assert.Throws<CheckpointException>(() => Safetensors.LoadMetadata(FilePath));
    }

    [Fact]
    public void AHugeHeader_IsRefusedBeforeItIsRead()
    {
        foreach (byte[] file in (byte[][])[[], [1, 2], [0, 0, 0, 0, 0, 0, 0, 0x7f], [255, 0, 0, 0, 0, 0, 0, 0, (byte)'{']])
        {
            File.WriteAllBytes(FilePath, file);
            Assert.Throws<CheckpointException>(() => Safetensors.Load(FilePath));
        }
    }

    [Fact]
    public void WhatCannotBe_IsSaid()
    {
        Safetensors.Save(FilePath, [new("weight", TensorData.Zeros([2]))]);
        Assert.Contains("Did you mean `weight`", Assert.Throws<CheckpointException>(() => Safetensors.Load(FilePath, ["weigth"])).Message,
            StringComparison.Ordinal);
        Assert.Throws<BadProgramException>(() =>
            Safetensors.Save(FilePath, [new("a", new TensorData(DType.Complex128, [0], default))]));
        Assert.Throws<ArgumentException>(() =>
            Safetensors.Save(FilePath, [new("a", TensorData.Zeros([1])), new("a", TensorData.Zeros([1]))]));
        Assert.Equal(["weight"], Safetensors.Load(FilePath).Keys); // a failed save leaves the old file

        byte[] json = Encoding.UTF8.GetBytes("""{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}""");
        File.WriteAllBytes(FilePath, [.. BitConverter.GetBytes((long)json.Length), .. json, 0]);
        Assert.Contains("F8_E4M3", Assert.Throws<BadProgramException>(() => Safetensors.Load(FilePath)).Message, StringComparison.Ordinal);
    }
}
