namespace Ndif.Tokenizers.Tests;

public sealed class AddedTokensTests
{
    private static HuggingFaceTokenizer With(string tokens, string otherFields = "") =>
        TestTokenizers.Create(TestTokenizers.Model(TestTokenizers.Ascii(), []), $""" "added_tokens":[{tokens}]{otherFields}""");

    [Fact]
    public void LongestTokenAtThePlace_IsFound()
    {
        var tokenizer = With("""{"id":95,"content":"<s>","special":true},{"id":96,"content":"<s>>","special":true}""");
        Assert.Equal(["a", "<s>>", "<s>"], tokenizer.EncodeWithOffsets("a<s>><s>").Tokens);
        Assert.Equal(97, tokenizer.VocabularySize);
        Assert.Equal(["<s>", "<s>>"], tokenizer.SpecialTokens);
        Assert.True(tokenizer.IsSpecial(95));
    }

    [Fact]
    public void SingleWord_MustNotTouchAWord()
    {
        var tokenizer = With("""{"id":95,"content":"cat","single_word":true,"normalized":false}""");
        Assert.Equal([95], tokenizer.Encode("cat"));
        Assert.Equal(["c", "a", "t", "s", " ", "cat", ","], tokenizer.EncodeWithOffsets("cats cat,").Tokens);
    }

    [Fact]
    public void StrippingTokens_TakeTheirWhiteSpace()
    {
        var tokenizer = With("""
            {"id":95,"content":"<l>","lstrip":true,"special":true},
            {"id":96,"content":"<r>","rstrip":true,"special":true}
            """);
        var encoded = tokenizer.EncodeWithOffsets("a  <l> b<r>  c");
        Assert.Equal(["a", "<l>", " ", "b", "<r>", "c"], encoded.Tokens);
        Assert.Equal([(0, 1), (1, 6), (6, 7), (7, 8), (8, 13), (13, 14)], encoded.Offsets);
    }

    [Fact]
    public void NormalizedToken_IsFoundInNormalizedText_AndAPlainOneInTheRawText()
    {
        var tokenizer = With("""{"id":95,"content":"Day","normalized":true},{"id":96,"content":"Raw","normalized":false}""",
            ""","normalizer":{"type":"Lowercase"}""");
        Assert.Equal([95], tokenizer.Encode("DAY"));
        Assert.Equal([96], tokenizer.Encode("Raw"));
        Assert.Equal(["r", "a", "w"], tokenizer.EncodeWithOffsets("raw").Tokens);
    }

    [Fact]
    public void SpecialTokens_AreSkippedOnRequest()
    {
        var tokenizer = With("""{"id":95,"content":"<s>","special":true},{"id":96,"content":"<t>","special":false}""",
            ""","decoder":{"type":"Fuse"}""");
        Assert.Equal("<s>a<t>", tokenizer.Decode([95, tokenizer.TokenToId("a")!.Value, 96]));
        Assert.Equal("a<t>", tokenizer.Decode([95, tokenizer.TokenToId("a")!.Value, 96], skipSpecialTokens: true));
    }

    [Fact]
    public void TokenInTheWhiteSpaceOfTheOneBefore_IsFoundToo()
    {
        var tokenizer = With("""{"id":95,"content":"<r>","rstrip":true,"special":true},{"id":96,"content":"  ","special":true}""");
        Assert.Equal([95, 96, 66], tokenizer.Encode("<r>  b")); // as the Rust library has it
    }

    [Fact]
    public void ManyStrippingSpaces_AreFoundInLinearTime()
    {
        var tokenizer = With("""{"id":95,"content":"\t","rstrip":true,"special":true}""");
        Assert.Equal(100_000, tokenizer.Encode(new string('\t', 100_000)).Count);
    }
}
