using Ndif.Cli.Deploying;
using Ndif.Protocol;

namespace Ndif.Cli.Tests;

public sealed class ModelsFileTests
{
    [Fact]
    public void AFile_SaysWhatIsWanted()
    {
        IReadOnlyList<Deployment> all = ModelsFile.Parse("""
            # comments are fine
            models:
              - openai-community/gpt2
              - model: meta-llama/Llama-3.1-8B
                revision: "2024"
                pinned: true
                replicas: 2
                dtype: bfloat16
              - { model: meta-llama/Llama-3.1-8B }
            """, "models.yaml");
        Assert.Equal(
            [
                new Deployment { Model = "openai-community/gpt2", Replicas = 1 },
                new Deployment
                {
                    Model = "meta-llama/Llama-3.1-8B",
                    Revision = "2024",
                    Pinned = true,
                    Replicas = 2,
                    Dtype = DataType.Bfloat16,
                },
                new Deployment { Model = "meta-llama/Llama-3.1-8B", Replicas = 1 },
            ], all);
        Assert.Empty(ModelsFile.Parse("models: []", "models.yaml"));
    }

    [Theory]
    [InlineData("models:\n  - model: a\n    replica: 2", 3, "Did you mean `replicas`?")]
    [InlineData("models:\n  - model: a\n    replicas: 0", 3, "from 1 to 1000")]
    [InlineData("models:\n  - model: a\n    replicas: two", 3, "two")]
    [InlineData("models:\n  - model: a\n    replicas: -1", 3, "-1")]
    [InlineData("models:\n  - model: a\n    pinned: maybe", 3, "maybe")]
    [InlineData("models:\n  - model: a\n    dtype: int4", 3, "int4")]
    [InlineData("models:\n  - model: a\n    revision: [1]", 3, "revision")]
    [InlineData("models:\n  - a\n  - model: b\n  - a", 4, "second time")]
    [InlineData("models:\n  - pinned: true", 2, "without `model`")]
    [InlineData("models:\n  - two words", 2, "cannot be one")]
    [InlineData("models:\n  - [a]", 2, "neither a name nor keys")]
    [InlineData("models:\n  - model: a\n    model: b", 3, "")]
    [InlineData("models:\n  - model: a\n   pinned: true", 3, "YAML")]
    [InlineData("deployments:\n  - a", 1, "deployments")]
    [InlineData("models:\n  a: 1", 1, "no list")]
    [InlineData("- a", 1, "does not begin")]
    [InlineData("", 0, "0 documents")]
    [InlineData("models: []\n---\nmodels: []", 0, "2 documents")]
    [InlineData("models: &all\n  - *all", 1, "")] // a list that contains itself
    public void AMistake_IsNamedWithItsLine(string text, int line, string word)
    {
        NdifException refused = Assert.ThrowsAny<NdifException>(() => ModelsFile.Parse(text, "models.yaml"));
        Assert.Equal(ErrorCode.BadArgument, refused.Code);
        Assert.StartsWith(line > 0 ? $"models.yaml, line {line}: " : "models.yaml: ", refused.Error.Message, StringComparison.Ordinal);
        Assert.Contains(word, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AFileThatIsNotThere_IsSaid() =>
        Assert.Equal(ErrorCode.BadArgument,
            Assert.ThrowsAny<NdifException>(() => ModelsFile.Read(Path.Combine(Path.GetTempPath(), "no", "models.yaml"))).Code);

    [Fact]
    public void TheSample_CanBeRead() => Assert.NotEmpty(ModelsFile.Read(RepositoryFolder.PathOf("deploy/models.yaml")));
}
