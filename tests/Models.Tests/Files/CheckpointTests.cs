using Ndif.Models.Files;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Files;

public sealed class CheckpointTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Shards_AreOneCheckpoint()
    {
        WriteShards("""{ "metadata": { "total_size": 16 }, "weight_map": { "a": "m-1.safetensors", "b": "m-2.safetensors" } }""");
        using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);
        Assert.Equal(["a", "b"], checkpoint.Names.Order());
        using Tensor b = checkpoint.Read("b");
        Assert.Equal(2f, b[0].item<float>());
    }

    [Theory]
    [InlineData("""{ "weight_map": { "a": "m-1.safetensors", "z": "m-3.safetensors" } }""", "that file is missing")]
    [InlineData("""{ "weight_map": { "z": "m-1.safetensors" } }""", "which has no such tensor")]
    [InlineData("""{ "weight_map": { "a": "../m-1.safetensors" } }""", "not a safetensors file beside it")]
    [InlineData("""{ "weight_map": { "a": "pytorch_model-1.bin" } }""", "not a safetensors file beside it")]
    [InlineData("""{ "weights": {} }""", "no `weight_map`")]
    [InlineData("""{""", "no `weight_map`")]
    [InlineData("""[]""", "no `weight_map`")]
    [InlineData("""{ "weight_map": { "a": 3 } }""", "no `weight_map`")]
    public void BrokenIndex_IsRefused_AndSaysWhy(string index, string why)
    {
        WriteShards(index);
        CheckpointException error = Assert.Throws<CheckpointException>(() => Checkpoint.Open(_folder.Path));
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model.pt")]
    [InlineData("consolidated.00.pth")]
    public void OtherFiles_AreNamed_IfThereAreNoWeights(string file)
    {
        _folder.Write(file, "\u0080\u0002");
        CheckpointException error = Assert.Throws<CheckpointException>(() => Checkpoint.Open(_folder.Path));
        Assert.Contains($"It has `{file}`.", error.Message, StringComparison.Ordinal);
        Assert.Contains("save_pretrained", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void EmptyFolder_HasNoWeights() =>
        Assert.Contains("has neither model.safetensors", Assert.Throws<CheckpointException>(() => Checkpoint.Open(_folder.Path)).Message,
            StringComparison.Ordinal);

    private void WriteShards(string index)
    {
        using var scope = NewDisposeScope();
        SafetensorsWriter.Write(_folder.File("m-1.safetensors"), new Dictionary<string, Tensor> { ["a"] = ones(2) });
        SafetensorsWriter.Write(_folder.File("m-2.safetensors"), new Dictionary<string, Tensor> { ["b"] = ones(2) * 2 });
        _folder.Write("model.safetensors.index.json", index);
    }
}
