using System.Text.Json;

namespace Ndif.Tokenizers.Tests;

/// <summary>Compares ids, offsets and text with the outputs of Hugging Face tokenizers 0.23.1 (shared/golden/tokenizers.json).</summary>
public sealed class GoldenTests
{
    public static TheoryData<string> Kinds => ["gpt2", "opt", "neox", "llama3", "qwen2", "llama2", "gemma", "wordpiece", "unigram"];

    [Theory, MemberData(nameof(Kinds))]
    public void Ids_AreHuggingFaces(string kind) => ForEachRow(kind, (tokenizer, text, row) =>
    {
        Assert.Equal(Numbers(row.GetProperty("ids")), tokenizer.Encode(text));
        Assert.Equal(Numbers(row.GetProperty("ids_without_special")), tokenizer.Encode(text, addSpecialTokens: false));
    });

    [Theory, MemberData(nameof(Kinds))]
    public void TokensAndOffsets_AreHuggingFaces(string kind) => ForEachRow(kind, (tokenizer, text, row) =>
    {
        var encoded = tokenizer.EncodeWithOffsets(text);
        Assert.Equal(row.GetProperty("tokens").EnumerateArray().Select(token => token.GetString()!), encoded.Tokens);
        Assert.Equal(row.GetProperty("offsets").EnumerateArray().Select(pair => (pair[0].GetInt32(), pair[1].GetInt32())), encoded.Offsets);
    });

    [Theory, MemberData(nameof(Kinds))]
    public void DecodedText_IsHuggingFaces(string kind) => ForEachRow(kind, (tokenizer, _, row) =>
    {
        int[] ids = Numbers(row.GetProperty("ids"));
        Assert.Equal(row.GetProperty("decoded").GetString(), tokenizer.Decode(ids));
        Assert.Equal(row.GetProperty("decoded_skip_special").GetString(), tokenizer.Decode(ids, skipSpecialTokens: true));
    });

    [Theory, MemberData(nameof(Kinds))]
    public void StreamedText_IsTheDecodedText(string kind) => ForEachRow(kind, (tokenizer, _, row) =>
    {
        int[] ids = Numbers(row.GetProperty("ids"));
        foreach (bool skip in (ReadOnlySpan<bool>)[false, true])
        {
            var stream = tokenizer.NewStream(skip);
            string text = string.Concat(ids.Select(stream.Add)) + stream.Finish();
            Assert.Equal(row.GetProperty(skip ? "decoded_skip_special" : "decoded").GetString(), text);
        }
    });

    [Theory, MemberData(nameof(Kinds))]
    public void SingleTokens_DecodeAsHuggingFaces(string kind)
    {
        var (tokenizer, golden) = Load(kind);
        string?[] expected = [.. golden.GetProperty("per_token").EnumerateArray().Select(text => text.GetString())];
        Assert.Equal(expected, expected.Select((_, i) => tokenizer.Decode(i * 7)));
        Assert.Equal(golden.GetProperty("vocab_size").GetInt32(), tokenizer.VocabularySize);
    }

    [Theory, MemberData(nameof(Kinds))]
    public void PairOfTexts_IsPutTogetherAsHuggingFaces(string kind)
    {
        var (tokenizer, golden) = Load(kind);
        var rows = golden.GetProperty("rows");
        string first = rows[0].GetProperty("text").GetString()!, second = rows[1].GetProperty("text").GetString()!;
        Assert.Equal(Numbers(golden.GetProperty("pair").GetProperty("input_ids")), tokenizer.Encode(first, second));
    }

    [Theory, MemberData(nameof(Kinds))]
    public void ContractOfMicrosoftMlTokenizers_GivesTheSame(string kind) => ForEachRow(kind, (tokenizer, text, row) =>
    {
        Microsoft.ML.Tokenizers.Tokenizer contract = tokenizer;
        int[] ids = Numbers(row.GetProperty("ids"));
        Assert.Equal(ids, contract.EncodeToIds(text));
        Assert.Equal(ids.Length, contract.CountTokens(text));
        Assert.Equal(row.GetProperty("decoded").GetString(), contract.Decode(ids));
    });

    [Fact]
    public void EveryModelsOwnTokenizer_GivesThePromptsIds()
    {
        int checkedModels = 0;
        foreach (string folder in Directory.GetDirectories(Shared("golden")))
        {
            string golden = Path.Combine(folder, "golden.json");
            if (!File.Exists(golden) || !File.Exists(Path.Combine(folder, "tokenizer.json"))) continue;
            using var document = JsonDocument.Parse(File.ReadAllBytes(golden));
            var tokenizer = HuggingFaceTokenizer.FromFolder(folder);
            Assert.Equal(Numbers(document.RootElement.GetProperty("text_ids")),
                tokenizer.Encode(document.RootElement.GetProperty("text").GetString()!));
            checkedModels++;
        }
        Assert.True(checkedModels > 0);
    }

    [Fact]
    public void TinyLandmarks_GivesItsPromptsIds()
    {
        var tokenizer = HuggingFaceTokenizer.FromFolder(Shared("models", "tiny-landmarks"));
        using var document = JsonDocument.Parse(File.ReadAllBytes(Shared("models", "tiny-landmarks", "expected.json")));
        foreach (var prompt in document.RootElement.GetProperty("prompts").EnumerateObject())
        {
            Assert.Equal(Numbers(prompt.Value.GetProperty("ids")), tokenizer.Encode(prompt.Value.GetProperty("text").GetString()!));
            if (prompt.Value.TryGetProperty("greedy5_ids", out var greedy))
                Assert.Equal(prompt.Value.GetProperty("greedy5").GetString(), tokenizer.Decode(Numbers(greedy)));
        }
    }

    private static void ForEachRow(string kind, Action<HuggingFaceTokenizer, string, JsonElement> check)
    {
        var (tokenizer, golden) = Load(kind);
        foreach (var row in golden.GetProperty("rows").EnumerateArray()) check(tokenizer, row.GetProperty("text").GetString()!, row);
    }

    private static (HuggingFaceTokenizer, JsonElement) Load(string kind)
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(Shared("golden", "tokenizers.json")));
        var tokenizer = HuggingFaceTokenizer.FromFolder(Shared("golden", "tokenizers", kind));
        return (tokenizer, document.RootElement.GetProperty(kind).Clone());
    }

    private static int[] Numbers(JsonElement list) => [.. list.EnumerateArray().Select(number => number.GetInt32())];

    /// <summary>Returns the path of a file or folder of the reference outputs. If it does not exist, the test is skipped.</summary>
    private static string Shared(params ReadOnlySpan<string> parts)
    {
        string? path = SharedFolder.Find(parts);
        Assert.SkipWhen(path is null, SharedFolder.MissingReason);
        return path!;
    }
}
