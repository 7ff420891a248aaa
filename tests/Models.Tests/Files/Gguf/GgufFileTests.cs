using Ndif.Models.Files;
using Ndif.Models.Files.Gguf;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Files.Gguf;

/// <summary>The container: metadata and tensors, and files that are damaged or malicious.</summary>
public sealed class GgufFileTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Write(byte[] content)
    {
        string path = _folder.File("model.gguf");
        File.WriteAllBytes(path, content);
        return path;
    }

    private static GgufWriter Small()
    {
        using var scope = NewDisposeScope();
        bool[] flags = [true, false];
        string[] tokens = ["a", "▁b"];
        float[] list = [1, 2];
        return new GgufWriter().Set("general.architecture", "llama").Set("llama.block_count", 2).Set("llama.rope.freq_base", 1e-5f)
            .Set("flags", flags).Set("tokenizer.ggml.tokens", tokens).Set("list", list)
            .Add("token_embd.weight", arange(64, ScalarType.Float32).view(2, 32)).Add("blk.0.attn_q.weight", [2, 32], 8, new byte[68]);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void MetadataAndTensors_AreThoseOfTheFile(uint version)
    {
        using GgufFile file = GgufFile.Open(Write(Small().ToBytes(version)));
        GgufMetadata metadata = new(file.Metadata, file.Path);
        Assert.Equal(("llama", 2L, 1e-5), (metadata.Architecture, metadata.Size("block_count"),
            metadata.Real("llama.rope.freq_base")!.Value));
        Assert.Equal(["a", "▁b"], metadata.Texts("tokenizer.ggml.tokens")!);
        GgufTensor embedding = file.Tensors["token_embd.weight"];
        Assert.Equal([2, 32], embedding.Shape);
        using Tensor values = file.Mapping.NewTensor(embedding.Offset, embedding.Shape, ScalarType.Float32, 4);
        Assert.Equal(33f, values.data<float>()[33]);
        Assert.Equal(("Q8_0", 68L), (file.Tensors["blk.0.attn_q.weight"].Type.Name, file.Tensors["blk.0.attn_q.weight"].Length));
    }

    [Fact]
    public void AnotherAlignment_IsFollowed()
    {
        using GgufFile file = GgufFile.Open(Write(Small().Set("general.alignment", 64).ToBytes(alignment: 64)));
        Assert.All(file.Tensors.Values, tensor => Assert.Equal(0, tensor.Offset % 64));
    }

    [Theory]
    [InlineData(16u, "IQ2_XXS")]
    [InlineData(99u, "number 99")]
    public void UnknownType_IsNamed(uint type, string name)
    {
        string path = Write(Small().Add("blk.0.attn_k.weight", [2, 32], type, new byte[64]).ToBytes());
        CheckpointException error = Assert.Throws<CheckpointException>(() => GgufFile.Open(path));
        Assert.Contains($"has `blk.0.attn_k.weight` in the type {name}, which cannot be read", error.Message, StringComparison.Ordinal);
        Assert.Contains("Q4_K", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void UnknownArchitecture_IsNamed()
    {
        string path = Write(new GgufWriter().Set("general.architecture", "mystery").ToBytes());
        CheckpointException error = Assert.Throws<CheckpointException>(() => GgufModel.Open(path));
        Assert.Contains("is for `mystery`", error.Message, StringComparison.Ordinal);
        Assert.Equal(Protocol.ErrorCode.UnsupportedArchitecture, error.Code);
    }

    [Fact]
    public void HugeCounts_AreRefused_BeforeMemoryIsAllocated()
    {
        byte[] good = Small().ToBytes();
        foreach (int at in (int[])[8, 16, 24]) // the tensors, the metadata, the length of the first key
        {
            byte[] bad = [.. good];
            BitConverter.GetBytes(1L << 60).CopyTo(bad, at);
            string path = Write(bad);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.Contains("is truncated", Assert.Throws<CheckpointException>(() => GgufFile.Open(path)).Message,
                StringComparison.Ordinal);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 18);
        }
    }

    [Fact]
    public void OverlappingTensors_AreRefused()
    {
        byte[] bad = Small().ToBytes();
        int at = bad.AsSpan().IndexOf("blk.0.attn_q.weight"u8) + 19 + 4 + 16 + 4; // dimensions, sizes, type
        Assert.Equal(256, BitConverter.ToInt64(bad, at));
        BitConverter.GetBytes(0L).CopyTo(bad, at);
        string path = Write(bad);
        Assert.Contains("overlap", Assert.Throws<CheckpointException>(() => GgufFile.Open(path)).Message, StringComparison.Ordinal);
    }

    /// <summary>A damaged file causes a typed error or a valid result, takes no more memory than its size justifies, and is
    /// released.</summary>
    [Fact]
    public void DamagedFile_IsRead_OrRefused()
    {
        byte[] good = Small().ToBytes();
        Random random = new(3);
        int refused = 0;
        for (int i = 0; i < 1500; i++)
        {
            byte[] bad = i % 4 == 0 ? good[..random.Next(good.Length)] : [.. good];
            for (int change = 0; bad.Length > 0 && i % 4 != 0 && change < 1
                + i % 5; change++) bad[random.Next(bad.Length)] = (byte)random.Next(256);
            string path = Write(bad);
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                using Checkpoint checkpoint = Checkpoint.Open(path);
                foreach (string name in checkpoint.Names) checkpoint.Read(name).Dispose();
            }
            catch (CheckpointException)
            {
                refused++;
            }
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 19);
            Assert.Equal(0, FileMapping.LiveCount(path));
        }
        Assert.True(refused > 300, $"{refused} refused");
    }
}
