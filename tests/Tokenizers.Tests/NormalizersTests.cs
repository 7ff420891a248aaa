using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Tests;

public sealed class NormalizersTests
{
    // U+1E9B U+0323 is the example of Unicode Standard Annex 15.
    [Theory]
    [InlineData("NFC", "\u1E9B\u0323", "\u1E9B\u0323")]
    [InlineData("NFD", "\u1E9B\u0323", "\u017F\u0323\u0307")]
    [InlineData("NFKC", "\u1E9B\u0323", "\u1E69")]
    [InlineData("NFKD", "\u1E9B\u0323", "s\u0323\u0307")]
    [InlineData("NFC", "\u1112\u1161\u11AB", "\uD55C")]
    [InlineData("NFD", "\uD55C", "\u1112\u1161\u11AB")]
    [InlineData("NFC", "a\u0307\u0323", "\u1EA1\u0307")]
    [InlineData("NFC", "\u0958", "\u0915\u093C")]
    [InlineData("NFKC", "\uFB01 \u2460 \uFF21", "fi 1 A")]
    [InlineData("NFC", "plain", "plain")]
    public void UnicodeForms_AreThoseOfTheAnnex(string form, string text, string expected) =>
        Assert.Equal(expected, TestTokenizers.Normalize($$"""{"type":"{{form}}"}""", text).Text);

    [Fact]
    public void ComposedRune_StandsForTheFirstOfItsParts()
    {
        var (text, origins) = TestTokenizers.Normalize("""{"type":"NFC"}""", "e\u0301x");
        Assert.Equal("\u00E9x", text);
        Assert.Equal([new Origin(0, 1), new Origin(2, 3)], origins);
    }

    [Fact]
    public void DecomposedRune_SharesItsOrigin()
    {
        var (text, origins) = TestTokenizers.Normalize("""{"type":"NFD"}""", "x\u00E9");
        Assert.Equal("xe\u0301", text);
        Assert.Equal([new Origin(0, 1), new Origin(1, 2), new Origin(1, 2)], origins);
    }

    [Theory]
    [InlineData("""{"type":"Lowercase"}""", "ÀB\u0130", "àbi\u0307")]
    [InlineData("""{"type":"Strip","strip_left":true,"strip_right":false}""", "\u3000 a ", "a ")]
    [InlineData("""{"type":"Strip","strip_left":true,"strip_right":true}""", "  ", "")]
    [InlineData("""{"type":"StripAccents"}""", "e\u0301\u0903", "e")]
    [InlineData("""{"type":"Replace","pattern":{"String":"ab"},"content":"x"}""", "cabab", "cxx")]
    [InlineData("""{"type":"Replace","pattern":{"Regex":"\\s+"},"content":" "}""", "a \n b", "a b")]
    [InlineData("""{"type":"Prepend","prepend":"▁"}""", "a", "▁a")]
    [InlineData("""{"type":"Prepend","prepend":"▁"}""", "", "")]
    [InlineData("""{"type":"ByteLevel"}""", " é", "ĠÃ©")]
    [InlineData("""{"type":"Nmt"}""", "a\u0007\u200Bb", "a b")]
    [InlineData(
        """{"type":"Sequence","normalizers":[{"type":"Lowercase"},{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":">"}]}]}""",
        "A", ">a")]
    [InlineData("""{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}""",
        "\u0000É\t文", "e  文 ")]
    [InlineData("""{"type":"BertNormalizer","clean_text":false,"handle_chinese_chars":false,"strip_accents":false,"lowercase":true}""",
        "É文", "é文")]
    public void EachNormalizer_RewritesText(string normalizer, string text, string expected) =>
        Assert.Equal(expected, TestTokenizers.Normalize(normalizer, text).Text);

    [Fact]
    public void Precompiled_ReplacesByItsMap()
    {
        // A double-array trie with one entry, 'A' (0x41) to "bc": the root, the node of 'A' at 1 ^ 0x41, and its value.
        var units = new uint[128];
        units[0] = 1u << 10;
        units[1 ^ 0x41] = 0x41 | 1u << 8 | (uint)(1 ^ 0x41 ^ 2) << 10;
        units[2] = 0x8000_0000;
        byte[] map = [.. BitConverter.GetBytes(units.Length * 4), .. units.SelectMany(BitConverter.GetBytes), (byte)'b', (byte)'c', 0];
        var (text, origins) = TestTokenizers.Normalize(
            $$"""{"type":"Precompiled","precompiled_charsmap":"{{Convert.ToBase64String(map)}}"}""", "xAy");
        Assert.Equal("xbcy", text);
        Assert.Equal([new Origin(0, 1), new Origin(1, 2), new Origin(1, 2), new Origin(2, 3)], origins);
    }

    [Fact]
    public void LoneSurrogate_BecomesTheReplacementCharacter() =>
        Assert.Equal("a\uFFFDb", TestTokenizers.ToAlignedText("a\uD800b").Chars.ToString());
}
