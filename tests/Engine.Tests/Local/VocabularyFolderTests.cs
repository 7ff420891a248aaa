using System.Text.Json.Nodes;
using Ndif.Models.Files;

namespace Ndif.Engine.Tests.Local;

public sealed class VocabularyFolderTests
{
    [Fact]
    public async Task FolderWithVocabularyAndMergesOnly_TakesTexts()
    {
        string source = ModelStore.Find("ndif/tiny-landmarks").Path;
        using TempFolder folder = new();
        foreach (string file in (string[])["config.json", "model.safetensors"])
            File.Copy(Path.Combine(source, file), Path.Combine(folder.Path, file));
        JsonNode model = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(source, "tokenizer.json"),
            TestContext.Current.CancellationToken))!["model"]!;
        await File.WriteAllTextAsync(Path.Combine(folder.Path, "vocab.json"), model["vocab"]!.ToJsonString(),
            TestContext.Current.CancellationToken);
        await File.WriteAllLinesAsync(Path.Combine(folder.Path, "merges.txt"),
            model["merges"]!.AsArray().Select(merge => $"{merge![0]} {merge[1]}").Prepend("#version: 0.2"),
            TestContext.Current.CancellationToken);
        const string Text = "The Eiffel Tower is in the city of";
        LanguageModel llm = new(folder.Path, remote: Backend.Local), original = new("ndif/tiny-landmarks", remote: Backend.Local);
        Assert.Equal(original.Tokenizer.Encode(Text), llm.Tokenizer.Encode(Text));

        var cancel = TestContext.Current.CancellationToken;
        Saved built = await llm.TraceAsync(Text, t => llm.Logits.Save(), cancellationToken: cancel);
        Saved expected = await original.TraceAsync(Text, t => original.Logits.Save(), cancellationToken: cancel);
        Assert.Equal(expected.Tensor.ToArray<float>(), built.Tensor.ToArray<float>());
    }
}
