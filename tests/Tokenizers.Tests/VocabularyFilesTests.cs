using System.Text.Json;

namespace Ndif.Tokenizers.Tests;

/// <summary>Folders without tokenizer.json: the tokenizer that is built from their vocabulary is that of Hugging Face.</summary>
public sealed class VocabularyFilesTests
{
    private static Dictionary<string, ReadOnlyMemory<byte>> Files(params (string Name, string Content)[] files) =>
        files.ToDictionary(file => file.Name, file => (ReadOnlyMemory<byte>)TestTokenizers.Utf8(file.Content));

    [Theory]
    [InlineData("gpt2", """{"tokenizer_class":"GPT2Tokenizer"}""")]
    [InlineData("opt", """{"tokenizer_class":"GPT2Tokenizer","bos_token":"</s>","eos_token":"</s>","unk_token":"</s>","pad_token":"<pad>","cls_token":"<s>","mask_token":"<unk>","add_bos_token":true}""")]
    public void VocabularyAndMerges_GiveTheIdsOfTokenizerJson(string kind, string config)
    {
        var (tokenizerJson, texts) = LoadGolden(kind);
        var model = tokenizerJson.GetProperty("model");
        var merges = model.GetProperty("merges").EnumerateArray().Select(merge => merge.ValueKind == JsonValueKind.String
            ? merge.GetString()! : $"{merge[0].GetString()} {merge[1].GetString()}");
        var files = Files(("vocab.json", model.GetProperty("vocab").GetRawText()),
            ("merges.txt", $"#version: 0.2\n{string.Join('\n', merges)}\n"), ("tokenizer_config.json", config));
        AssertSame(HuggingFaceTokenizer.FromFiles(files), texts);
    }

    [Fact]
    public void ModelType_NamesTheClass_OfAFolderWithoutConfig()
    {
        var files = Files(("vocab.json", """{"a":0,"b":1,"Ġ":2,"ab":3,"<|endoftext|>":4}"""), ("merges.txt", "#version: 0.2\na b\n"),
            ("config.json", """{"model_type":"opt"}"""));
        var tokenizer = HuggingFaceTokenizer.FromFiles(files);
        Assert.Equal([3, 2, 0, 4], tokenizer.Encode("ab a<|endoftext|>"));
        Assert.Equal("ab a", tokenizer.Decode([3, 2, 0, 4], skipSpecialTokens: true));
        Assert.Equal(4, tokenizer.EosId);
    }

    [Fact]
    public void Qwen2_SplitsDigitsAndComposesText()
    {
        var files = Files(("vocab.json", """{"1":0,"2":1,"12":2,"Ã":3,"©":4,"Ã©":5}"""), ("merges.txt", "1 2\nÃ ©\n"),
            ("tokenizer_config.json", """{"tokenizer_class":"Qwen2Tokenizer"}"""));
        Assert.Equal([0, 1, 5], HuggingFaceTokenizer.FromFiles(files).Encode("12e\u0301"));
    }

    [Fact]
    public void WordPieceVocabulary_GivesTheIdsOfTokenizerJson()
    {
        var (tokenizerJson, texts) = LoadGolden("wordpiece");
        var words = tokenizerJson.GetProperty("model").GetProperty("vocab").EnumerateObject().OrderBy(word => word.Value.GetInt32());
        var files = Files(("vocab.txt", string.Join('\n', words.Select(word => word.Name)) + "\n"),
            ("config.json", """{"model_type":"bert"}"""));
        AssertSame(HuggingFaceTokenizer.FromFiles(files), texts);
    }

    [Theory]
    [InlineData("llama2", """{"tokenizer_class":"LlamaTokenizer","legacy":true,"add_bos_token":true,"bos_token":"<s>","eos_token":"</s>"}""")]
    [InlineData("gemma", """{"tokenizer_class":"GemmaTokenizer","mask_token":null}""")]
    public void SentencePieceBpe_GivesTheIdsOfTokenizerJson(string kind, string config)
    {
        var (tokenizerJson, texts) = LoadGolden(kind);
        var model = tokenizerJson.GetProperty("model");
        var pieces = model.GetProperty("vocab").EnumerateObject().OrderBy(token => token.Value.GetInt32())
            .Select((token, id) => (token.Name, (float)-id, TypeOf(token.Name)));
        var files = Files(("tokenizer_config.json", config));
        files["tokenizer.model"] = SentencePieceFile.Write(pieces, isBpe: true, kind == "gemma" ? 3 : 0, byteFallback: true);
        var built = HuggingFaceTokenizer.FromFiles(files);
        // The merges of a SentencePiece model are all pairs that give a token, in the order of the tokens.
        var expected = WithGeneratedMerges(tokenizerJson);
        foreach (string text in texts.Select(row => row.Text)) Assert.Equal(expected.Encode(text), built.Encode(text));
        foreach (var (_, ids) in texts) Assert.Equal(expected.Decode(ids), built.Decode(ids));
    }

    [Fact]
    public void SentencePieceUnigram_OfT5_SplitsWordsAndAddsSentinels()
    {
        (string, float, int)[] pieces =
            [("<pad>", 0, 3), ("</s>", 0, 3), ("<unk>", 0, 2), ("▁", -2, 1), ("▁he", -3, 1), ("llo", -3, 1),
                ("▁hello", -5, 1), ("l", -6, 1), ("<x>", 0, 4)];
        var files = Files(("tokenizer_config.json", """{"tokenizer_class":"T5Tokenizer"}"""));
        files["spiece.model"] = SentencePieceFile.Write(pieces, isBpe: false, unknownId: 2, byteFallback: false, bosId: -1, eosId: 1);
        var tokenizer = HuggingFaceTokenizer.FromFiles(files);
        Assert.Equal([6, 4, 1], tokenizer.Encode("hello  he"));
        Assert.Equal([6, 108, 8, 1], tokenizer.Encode("hello<extra_id_0><x>"));
        Assert.Equal(109, tokenizer.VocabularySize);
        Assert.Equal("hello he", tokenizer.Decode([6, 4, 1], skipSpecialTokens: true));
    }

    [Fact]
    public void SentencePieceUnigram_OfXlmRoberta_HasTheTokensOfFairseq()
    {
        (string, float, int)[] pieces = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("▁a", -1, 1), ("b", -2, 1)];
        var files = Files(("tokenizer_config.json", """{"tokenizer_class":"XLMRobertaTokenizer"}"""));
        files["sentencepiece.bpe.model"] = SentencePieceFile.Write(pieces, isBpe: false, unknownId: 0, byteFallback: false);
        var tokenizer = HuggingFaceTokenizer.FromFiles(files);
        Assert.Equal([0, 4, 5, 2], tokenizer.Encode("ab"));
        Assert.Equal([0, 4, 2, 2, 4, 2], tokenizer.Encode("a", "a"));
        Assert.Equal((6, 1), (tokenizer.TokenToId("<mask>"), tokenizer.PadId));
    }

    [Fact]
    public void SentencePiece_OfAnUnknownClass_TakesItsTokensFromTheModel()
    {
        (string, float, int)[] pieces = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("<0x41>", 0, 6),
            ("▁a", -1, 1), ("b", -2, 1), ("a", -3, 1), ("▁", -4, 1)];
        Dictionary<string, ReadOnlyMemory<byte>> files = new()
        {
            ["tokenizer.model"] = SentencePieceFile.Write(pieces, isBpe: true, unknownId: 0, byteFallback: true),
        };
        var tokenizer = HuggingFaceTokenizer.FromFiles(files);
        Assert.Equal((1, 2, 0), (tokenizer.BosId, tokenizer.EosId, tokenizer.UnknownId));
        Assert.Equal([6, 4, 3, 2], tokenizer.Encode("a aA</s>"));
    }

    [Theory]
    [InlineData("tokenizer.model", "this is no model", "is damaged, or not a SentencePiece model|is cut off")]
    [InlineData("tokenizer.model", "", "no tokens")]
    [InlineData("vocab.json", "[]", "an object of tokens")]
    [InlineData("vocab.json", "{", "vocab.json")]
    public void DamagedFile_IsRefusedWithItsName(string name, string content, string expected)
    {
        var files = Files((name, content), ("merges.txt", "a b"));
        var error = Assert.Throws<TokenizerFormatException>(() => HuggingFaceTokenizer.FromFiles(files));
        Assert.StartsWith(name, error.Message, StringComparison.Ordinal);
        Assert.Contains(expected.Split('|'), part => error.Message.Contains(part, StringComparison.Ordinal));
    }

    [Fact]
    public void ClassesThatCannotBeBuilt_SayWhatToDo()
    {
        foreach (var (name, content) in ((string, string)[])[("CLIPTokenizer", "a b"), ("GPT2Tokenizer", "a b</w>")])
        {
            var files = Files(("vocab.json", """{"a":0,"b":1}"""), ("merges.txt", content),
                ("tokenizer_config.json", $$"""{"tokenizer_class":"{{name}}"}"""));
            var error = Assert.Throws<TokenizerFormatException>(() => HuggingFaceTokenizer.FromFiles(files));
            Assert.Contains("save_pretrained", error.Message, StringComparison.Ordinal);
        }
        Assert.Contains("tokenizer.json", Assert.Throws<TokenizerFormatException>(
            () => HuggingFaceTokenizer.FromFiles(Files(("tokenizer_config.json", "{}")))).Message, StringComparison.Ordinal);
    }

    private static int TypeOf(string token) => token switch
    {
        "<unk>" => 2,
        "<s>" or "</s>" or "<pad>" or "<bos>" or "<eos>" => 3,
        _ => token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) ? 6 : 1,
    };

    private static HuggingFaceTokenizer WithGeneratedMerges(JsonElement tokenizerJson)
    {
        var root = System.Text.Json.Nodes.JsonNode.Parse(tokenizerJson.GetRawText())!;
        if (root["pre_tokenizer"] is null)
        {
            // Llama's class puts no second prefix before a text that begins with a space; the file's normalizer does.
            root["normalizer"] = null;
            root["pre_tokenizer"] = System.Text.Json.Nodes.JsonNode.Parse(
                """{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":false}""");
        }
        var vocabulary = tokenizerJson.GetProperty("model").GetProperty("vocab").EnumerateObject()
            .ToDictionary(token => token.Name, token => token.Value.GetInt32());
        root["model"]!["merges"] = new System.Text.Json.Nodes.JsonArray([.. Conversion.MergeGenerator.Generate(vocabulary)
            .Select(merge => new System.Text.Json.Nodes.JsonArray(merge.Left, merge.Right))]);
        return HuggingFaceTokenizer.FromJson(TestTokenizers.Utf8(root.ToJsonString()));
    }

    private static void AssertSame(HuggingFaceTokenizer tokenizer, List<(string Text, int[] Ids)> texts)
    {
        Assert.NotEmpty(texts);
        foreach (var (text, ids) in texts) Assert.Equal(ids, tokenizer.Encode(text));
    }

    private static (JsonElement TokenizerJson, List<(string Text, int[] Ids)> Texts) LoadGolden(string kind)
    {
        string? folder = SharedFolder.Find("golden");
        Assert.SkipWhen(folder is null, SharedFolder.MissingReason);
        using var tokenizer = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder!, "tokenizers", kind, "tokenizer.json")));
        using var golden = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder!, "tokenizers.json")));
        return (tokenizer.RootElement.Clone(), [.. golden.RootElement.GetProperty(kind).GetProperty("rows").EnumerateArray().Select(row =>
            (row.GetProperty("text").GetString()!, row.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32()).ToArray()))]);
    }
}
