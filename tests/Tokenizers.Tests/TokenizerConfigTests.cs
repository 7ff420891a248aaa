namespace Ndif.Tokenizers.Tests;

/// <summary>What tokenizer_config.json and the files beside it change in tokenizer.json, as in transformers.</summary>
public sealed class TokenizerConfigTests
{
    private const string Bos = """
        {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],
        "pair":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}},{"Sequence":{"id":"B"}}],
        "special_tokens":{"<s>":{"id":"<s>","ids":[95],"tokens":["<s>"]}}}
        """;
    private const string AddedTokens = """
        "added_tokens":[{"id":95,"content":"<s>","special":true},{"id":96,"content":"</s>","special":true}]
        """;

    private static HuggingFaceTokenizer With(string config, string otherFields = AddedTokens) =>
        TestTokenizers.Create(TestTokenizers.Model(TestTokenizers.Ascii(), []), otherFields, config);

    private static int Id(char c) => c - 32;

    [Fact]
    public void TokenOfARole_ThatIsInTheVocabulary_IsOneSpecialToken()
    {
        var tokenizer = TestTokenizers.Create(TestTokenizers.Model(TestTokenizers.Ascii("</s>"), []), config: """{"eos_token":"</s>"}""");
        Assert.Equal([Id('a'), 95, Id('b')], tokenizer.Encode("a</s>b"));
        Assert.Equal(95, tokenizer.EosId);
        Assert.True(tokenizer.IsSpecial(95));
        Assert.Equal(96, tokenizer.VocabularySize);
    }

    [Fact]
    public void TokenOfARole_ThatIsNowhere_GetsTheNextId()
    {
        var tokenizer = With("""{"pad_token":"[PAD]","image_token":"<image>","additional_special_tokens":["<x>"]}""");
        Assert.Equal(97, tokenizer.PadId);
        Assert.Equal(98, tokenizer.TokenToId("<image>"));
        Assert.Equal(99, tokenizer.TokenToId("<x>"));
        Assert.Equal([97, 98, 99, Id('a')], tokenizer.Encode("[PAD]<image><x>a"));
        Assert.Equal("a", tokenizer.Decode([97, 98, 99, Id('a')], skipSpecialTokens: true));
        Assert.Equal(100, tokenizer.VocabularySize);
    }

    [Fact]
    public void AddedTokensDecoder_AddsTokensWithTheirFlags()
    {
        var tokenizer = With("""
            {"added_tokens_decoder":{
                "98":{"content":"</think>","lstrip":false,"rstrip":true,"normalized":false,"single_word":false,"special":false},
                "97":{"content":"<think>","lstrip":false,"rstrip":false,"normalized":false,"single_word":false,"special":true}}}
            """);
        Assert.Equal([97, Id('a'), 98, Id('b')], tokenizer.Encode("<think>a</think>  b"));
        Assert.True(tokenizer.IsSpecial(97));
        Assert.False(tokenizer.IsSpecial(98));
    }

    [Fact]
    public void AddedTokensDecoder_ReplacesFlagsOfTokenizerJson()
    {
        var tokenizer = With("""{"added_tokens_decoder":{"95":{"content":"<s>","rstrip":true,"special":true}}}""");
        Assert.Equal([95, Id('a')], tokenizer.Encode("<s>  a"));
    }

    [Theory]
    [InlineData("{}", new[] { 95, 65 })]
    [InlineData("""{"bos_token":"<s>","add_bos_token":false}""", new[] { 65 })]
    [InlineData("""{"bos_token":"<s>","add_bos_token":true}""", new[] { 95, 65 })]
    [InlineData("""{"bos_token":"<s>","eos_token":"</s>","add_eos_token":true}""", new[] { 95, 65, 96 })]
    [InlineData("""{"bos_token":"<s>","eos_token":"</s>","add_bos_token":false,"add_eos_token":true}""", new[] { 65, 96 })]
    [InlineData("""{"add_bos_token":false,"tokenizer_class":"LlamaTokenizerFast"}""", new[] { 65 })]
    public void AddBosToken_DecidesWhatThePostProcessorAdds(string config, int[] expected) => Assert.Equal(expected,
        With(config, $""" {AddedTokens},"post_processor":{Bos}""").Encode("a"));

    [Fact]
    public void AddBosToken_KeepsATemplateWithOtherTokens()
    {
        string template = Bos.Replace("[95]", "[95,96]", StringComparison.Ordinal);
        Assert.Equal([95, 96, Id('a')], With("""{"bos_token":"<s>","add_bos_token":false}""",
            $""" {AddedTokens},"post_processor":{template}""").Encode("a"));
    }

    [Theory]
    [InlineData("""{"tokenizer_class":"GPT2TokenizerFast","add_prefix_space":true}""", "Ġa")]
    [InlineData("""{"tokenizer_class":"GPT2Tokenizer"}""", "a")]
    [InlineData("""{"tokenizer_class":"PreTrainedTokenizerFast","add_prefix_space":true}""", "a")]
    public void AddPrefixSpace_IsThatOfTheConfig_ForByteLevelClasses(string config, string expected) => Assert.Equal(expected,
        string.Concat(TestTokenizers.Create(TestTokenizers.ByteLevelBpe(),
            """ "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}""", config).EncodeWithOffsets("a").Tokens));

    [Theory]
    [InlineData("""{"tokenizer_class":"BertTokenizer","do_lower_case":false}""", "A|é")]
    [InlineData("""{"tokenizer_class":"BertTokenizer","do_lower_case":true,"strip_accents":false}""", "a|é")]
    [InlineData("""{"tokenizer_class":"BertTokenizer"}""", "a|e")]
    [InlineData("""{"tokenizer_class":"PreTrainedTokenizerFast","do_lower_case":true}""", "A|é")]
    public void CaseAndAccents_AreThoseOfTheConfig_ForBert(string config, string expected) => Assert.Equal(expected.Split('|'),
        TestTokenizers.Create(TestTokenizers.WordLevel("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "<unk>", "A", "a", "é", "e"),
            """ "normalizer":{"type":"BertNormalizer","lowercase":false,"strip_accents":null},"pre_tokenizer":{"type":"BertPreTokenizer"}""",
            config).EncodeWithOffsets("A é").Tokens);

    [Theory]
    [InlineData("""{"tokenizer_class":"LlamaTokenizer","legacy":true}""", "▁a|</s>|▁b")]
    [InlineData("""{"tokenizer_class":"LlamaTokenizer","legacy":false}""", "▁a|</s>|b")]
    [InlineData("""{"tokenizer_class":"LlamaTokenizer","add_prefix_space":false}""", "a|</s>|b")]
    [InlineData("""{"tokenizer_class":"PreTrainedTokenizerFast","add_prefix_space":false}""", "▁a|</s>|▁b")]
    public void PrefixSpace_IsThatOfTheConfig_ForLlama(string config, string expected)
    {
        var tokenizer = TestTokenizers.Create(TestTokenizers.Model(["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "▁b"], ["▁ a", "▁ b"]), """
            "added_tokens":[{"id":2,"content":"</s>","special":true}],"normalizer":{"type":"Sequence","normalizers":[
            {"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"decoder":{"type":"Fuse"}
            """, config);
        Assert.Equal(expected.Split('|'), tokenizer.EncodeWithOffsets("a</s>b").Tokens);
    }

    [Fact]
    public void SplitSpecialTokens_TakesThemForText() => Assert.Equal([Id('<'), Id('s'), Id('>')],
        With("""{"split_special_tokens":true}""").Encode("<s>"));

    [Fact]
    public void OlderFiles_AreReadWithoutAddedTokensDecoder()
    {
        Dictionary<string, ReadOnlyMemory<byte>> files = new()
        {
            ["tokenizer.json"] = TestTokenizers.Utf8(
                $$"""{"version":"1.0",{{AddedTokens}},"model":{{TestTokenizers.Model(TestTokenizers.Ascii(), [])}}}"""),
            ["tokenizer_config.json"] = TestTokenizers.Utf8("""{"eos_token":"<old>"}"""),
            ["special_tokens_map.json"] = TestTokenizers.Utf8("""{"eos_token":{"content":"</s>","lstrip":false},"pad_token":"<pad>"}"""),
            ["added_tokens.json"] = TestTokenizers.Utf8("""{"<pad>":97,"<plain>":98}"""),
        };
        var tokenizer = HuggingFaceTokenizer.FromFiles(files);
        Assert.Equal((96, 97, 98), (tokenizer.EosId, tokenizer.PadId, tokenizer.TokenToId("<plain>")));
        Assert.True(tokenizer.IsSpecial(97));
        Assert.False(tokenizer.IsSpecial(98));

        files["tokenizer_config.json"] = TestTokenizers.Utf8("""{"eos_token":"<old>","added_tokens_decoder":{}}""");
        Assert.Equal(97, HuggingFaceTokenizer.FromFiles(files).EosId);
    }

    [Fact]
    public void ModelType_NamesTheClass_WhereTheConfigDoesNot()
    {
        var tokenizer = HuggingFaceTokenizer.FromFiles(new Dictionary<string, ReadOnlyMemory<byte>>
        {
            ["tokenizer.json"] = TestTokenizers.Utf8($$"""{"version":"1.0","model":{{TestTokenizers.ByteLevelBpe()}}}"""),
            ["config.json"] = """{"model_type":"gpt2"}"""u8.ToArray(),
        });
        Assert.Equal(tokenizer.TokenToId("<|endoftext|>"), tokenizer.EosId);
        Assert.NotNull(tokenizer.EosId);
    }

    [Theory]
    [InlineData("phi3", "▁a|</s>|▁b")]
    [InlineData("mistral", "▁a|</s>|▁b")]
    [InlineData("llama", "▁a|</s>|b")]
    [InlineData("some_new_type", "▁a|</s>|b")]
    public void ClassOfAnotherModelType_IsNotTrusted(string modelType, string expected)
    {
        string model = TestTokenizers.Model(["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "▁b"], ["▁ a", "▁ b"]);
        var tokenizer = HuggingFaceTokenizer.FromFiles(new Dictionary<string, ReadOnlyMemory<byte>>
        {
            ["tokenizer.json"] = TestTokenizers.Utf8($$$"""
                {"added_tokens":[{"id":2,"content":"</s>","special":true}],"normalizer":{"type":"Prepend","prepend":"▁"},"model":{{{model}}}}
                """),
            ["tokenizer_config.json"] = """{"tokenizer_class":"LlamaTokenizer","legacy":false}"""u8.ToArray(),
            ["config.json"] = TestTokenizers.Utf8($$"""{"model_type":"{{modelType}}"}"""),
        });
        Assert.Equal(expected.Split('|'), tokenizer.EncodeWithOffsets("a</s>b").Tokens);
    }
}
