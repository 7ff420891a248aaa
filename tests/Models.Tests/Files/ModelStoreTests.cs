using Ndif.Models.Files;
using Ndif.Protocol;


namespace Ndif.Models.Tests.Files;

public sealed class ModelStoreTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly string? _before = Environment.GetEnvironmentVariable("HF_HUB_CACHE"),
        _offline = Environment.GetEnvironmentVariable("HF_HUB_OFFLINE");

    public ModelStoreTests()
    {
        Environment.SetEnvironmentVariable("HF_HUB_CACHE", _folder.Path);
        Environment.SetEnvironmentVariable("HF_HUB_OFFLINE", "1");
    }

    public void Dispose()
    {
        Environment.SetEnvironmentVariable("HF_HUB_CACHE", _before);
        Environment.SetEnvironmentVariable("HF_HUB_OFFLINE", _offline);
        _folder.Dispose();
    }

    [Fact]
    public void BundledModel_IsThere_WithAllItsFiles()
    {
        string path = ModelStore.Find("ndif/tiny-landmarks").Path;
        foreach (string file in (string[])["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
            "generation_config.json"])
            Assert.True(File.Exists(Path.Combine(path, file)), file);
    }

    [Fact]
    public void HubCache_IsFound_ByBranchAndByCommit()
    {
        _folder.Write("models--org--name/refs/main", "abc123\n");
        _folder.Write("models--org--name/snapshots/abc123/config.json", "{}");
        ModelFolder found = ModelStore.Find("org/name");
        Assert.Equal("abc123", found.Revision);
        Assert.EndsWith("abc123", found.Path, StringComparison.Ordinal);
        Assert.Equal(found, ModelStore.Find("org/name", "abc123"));
        Assert.Equal("abc123", ModelStore.Find(found.Path).Revision);
        Assert.Contains("org/name", ModelStore.Available());
    }

    [Fact]
    public void UnknownModel_SaysWhereItLooked_AndNamesNearOnes()
    {
        _folder.Write("models--openai-community--gpt2/snapshots/1/config.json", "{}");
        NdifException error = Assert.Throws<NdifException>(() => ModelStore.Find("openai-comunity/gpt2"));
        Assert.Equal(ErrorCode.UnknownModel, error.Code);
        Assert.Contains(_folder.Path, error.Message, StringComparison.Ordinal);
        Assert.Contains("Did you mean `openai-community/gpt2`", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("../../etc")]
    [InlineData("a/../../b")]
    [InlineData("a/b/c")]
    public void AnId_NeverLeavesTheCache(string id) =>
        Assert.Equal(ErrorCode.UnknownModel, Assert.Throws<NdifException>(() => ModelStore.Find(id)).Code);

    [Fact]
    public void ARevision_NeverLeavesTheCache()
    {
        _folder.Write("models--org--name/snapshots/abc123/config.json", "{}");
        Assert.Throws<NdifException>(() => ModelStore.Find("org/name", "../snapshots/abc123"));
        Assert.Throws<NdifException>(() => ModelStore.Find("org/name", "/etc"));
    }
}
