namespace Ndif.Tokenizers.Tests;

public sealed class DecodersTests
{
    [Theory]
    [InlineData("""{"type":"ByteLevel"}""", "Ġa|Ã|©|<tag 1>", " aé<tag 1>")]
    [InlineData("""{"type":"ByteLevel"}""", "Ã|a", "\uFFFDa")]
    [InlineData("""{"type":"ByteFallback"}""", "a|<0xC3>|<0xA9>|<0xC3>|b", "a\uFFFD\uFFFD\uFFFDb")]
    [InlineData("""{"type":"ByteFallback"}""", "<0xC3>|<0xA9>", "é")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"}""", "▁a|▁b", "a b")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"never"}""", "▁a|▁b", " a b")]
    [InlineData("""{"type":"WordPiece","prefix":"##","cleanup":true}""", "do|##g|.", "dog.")]
    [InlineData("""{"type":"WordPiece","prefix":"##","cleanup":false}""", "do|##g|.", "dog .")]
    [InlineData("""{"type":"BPEDecoder","suffix":"</w>"}""", "a|b</w>|c</w>", "ab c")]
    [InlineData("""{"type":"CTC","pad_token":"<pad>","word_delimiter_token":"|","cleanup":true}""", "h|h|<pad>|h|i", "hhi")]
    [InlineData(
        """{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}""",
        "▁a|▁b|<0x21>", "a b!")]
    [InlineData("""{"type":"Strip","content":"x","start":1,"stop":2}""", "xxaxxx|x", "xax")]
    public void EachDecoder_GivesText(string decoder, string tokens, string expected) =>
        Assert.Equal(expected, TestTokenizers.Decode(decoder, tokens.Split('|')));

    [Fact]
    public void WithoutADecoder_TokensAreJoinedWithSpaces() =>
        Assert.Equal("a b", TestTokenizers.Create(TestTokenizers.Model(TestTokenizers.Ascii(), [])).Decode([65, 66]));

    [Fact]
    public void IdThatNoTokenHas_AddsNothing() =>
        Assert.Equal("a", TestTokenizers.Create(TestTokenizers.Model(TestTokenizers.Ascii(), [])).Decode([-1, 65, int.MaxValue]));

    [Fact]
    public void CleanUp_IsDoneOnlyWhenTheConfigAsks()
    {
        string model = TestTokenizers.WordLevel("Hello", ".", "n't", "do");
        Assert.Equal("Hello .", TestTokenizers.Create(model).Decode([0, 1]));
        var tokenizer = TestTokenizers.Create(model, config: """{"clean_up_tokenization_spaces":true}""");
        Assert.Equal("Hello. don't", tokenizer.Decode([0, 1, 3, 2]));
    }

    [Fact]
    public void CleanUp_IsIgnored_ForBytePairEncoding()
    {
        const string Stages = """
            "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"decoder":{"type":"ByteLevel"}
            """;
        var tokenizer = TestTokenizers.Create(TestTokenizers.ByteLevelBpe(), Stages, """{"clean_up_tokenization_spaces":true}""");
        var ids = tokenizer.Encode("if x != y , stop .");
        Assert.Equal("if x != y , stop .", tokenizer.Decode(ids));
        var stream = tokenizer.NewStream();
        Assert.Equal("if x != y , stop .", string.Concat(ids.Select(stream.Add)) + stream.Finish());

        var forced = TestTokenizers.Create(TestTokenizers.ByteLevelBpe(), Stages, """
            {"clean_up_tokenization_spaces":true,"clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output":true}
            """);
        Assert.Equal("if x!= y, stop.", forced.Decode(ids));
    }
}
