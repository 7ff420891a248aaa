namespace Ndif.Tokenizers.Tests;

public sealed class PostProcessorsTests
{
    private const string Added = """ "added_tokens":[{"id":95,"content":"<s>","special":true},{"id":96,"content":"</s>","special":true}]""";

    private static HuggingFaceTokenizer With(string processor, string? config = null) => TestTokenizers.Create(
        TestTokenizers.Model(TestTokenizers.Ascii(), []),
        Added + (processor.Length > 0 ? $""","post_processor":{processor}""" : ""),
        config);

    [Theory]
    [InlineData("""{"type":"RobertaProcessing","cls":["<s>",95],"sep":["</s>",96],"trim_offsets":true,"add_prefix_space":false}""",
        "<s>a</s>", "<s>a</s></s>b</s>")]
    [InlineData("""{"type":"BertProcessing","cls":["<s>",95],"sep":["</s>",96]}""", "<s>a</s>", "<s>a</s>b</s>")]
    [InlineData("""{"type":"ByteLevel","trim_offsets":false}""", "a", "ab")]
    [InlineData("""
        {"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"TemplateProcessing",
         "single":[{"SpecialToken":{"id":"B","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
         "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}},{"SpecialToken":{"id":"B","type_id":0}}],
         "special_tokens":{"B":{"id":"B","ids":[95,96],"tokens":["<s>","</s>"]}}}]}
        """, "<s></s>a", "ab<s></s>")]
    public void OneTextAndTwo_AreSurrounded(string processor, string single, string pair)
    {
        var tokenizer = With(processor);
        Assert.Equal(single, string.Concat(tokenizer.Encode("a").Select(tokenizer.IdToToken)));
        Assert.Equal(pair, string.Concat(tokenizer.Encode("a", "b").Select(tokenizer.IdToToken)));
        Assert.Equal("a", string.Concat(tokenizer.Encode("a", addSpecialTokens: false).Select(tokenizer.IdToToken)));
    }

    [Fact]
    public void ConfigsBeginAndEndTokens_AreAddedOnce()
    {
        const string Config = """{"bos_token":"<s>","eos_token":{"content":"</s>"},"add_bos_token":true,"add_eos_token":true}""";
        Assert.Equal([95, 65, 96], With("", Config).Encode("a"));
        Assert.Equal([95, 65, 96], With("""{"type":"BertProcessing","cls":["<s>",95],"sep":["</s>",96]}""", Config).Encode("a"));
        Assert.Equal([65], With("", """{"bos_token":"<s>","add_bos_token":false}""").Encode("a"));
    }

    [Fact]
    public void ConfigNamesTheSpecialTokens()
    {
        var tokenizer = With("", """{"bos_token":"<s>","eos_token":{"content":"</s>"},"pad_token":null,"unk_token":"<none>"}""");
        Assert.Equal((95, 96, null, 97), (tokenizer.BosId, tokenizer.EosId, tokenizer.PadId, tokenizer.UnknownId));
    }

    [Fact]
    public void TrimmedOffsets_LeaveOutTheSpaces()
    {
        var tokenizer = TestTokenizers.Create(TestTokenizers.ByteLevelBpe("Ġ a"), """
            "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},
            "post_processor":{"type":"ByteLevel","trim_offsets":true,"add_prefix_space":false}
            """);
        var encoded = tokenizer.EncodeWithOffsets(" a a");
        Assert.Equal(["Ġa", "Ġa"], encoded.Tokens);
        Assert.Equal([(1, 2), (3, 4)], encoded.Offsets);
    }
}
