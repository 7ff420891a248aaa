namespace Ndif.Tokenizers.Tests;

public sealed class PreTokenizersTests
{
    [Theory]
    [InlineData("Removed", "the|final|countdown")]
    [InlineData("Isolated", "the|-|final|-|-|countdown")]
    [InlineData("MergedWithPrevious", "the-|final-|-|countdown")]
    [InlineData("MergedWithNext", "the|-final|-|-countdown")]
    [InlineData("Contiguous", "the|-|final|--|countdown")]
    public void Split_TreatsTheDelimiterAsTold(string behavior, string expected)
    {
        foreach (string kind in new[] { "String", "Regex" })
            Assert.Equal(expected.Split('|'), TestTokenizers.Split(
                $$"""{"type":"Split","pattern":{"{{kind}}":"-"},"behavior":"{{behavior}}","invert":false}""", "the-final--countdown"));
    }

    [Theory]
    [InlineData("""{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}""", "it's  12é!", "it|'s|Ġ|Ġ12|Ã©|!")]
    [InlineData("""{"type":"ByteLevel","add_prefix_space":true,"use_regex":false}""", "a b", "ĠaĠb")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}""", "a  b", "▁a|▁|▁b")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":false}""", "a b", "a▁b")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","add_prefix_space":false}""", "a b", "a|▁b")]
    [InlineData("""{"type":"Digits","individual_digits":true}""", "a12b", "a|1|2|b")]
    [InlineData("""{"type":"Digits","individual_digits":false}""", "a12½b", "a|12½|b")]
    [InlineData("""{"type":"Whitespace"}""", "don't stop, 🙂!", "don|'|t|stop|,|🙂!")]
    [InlineData("""{"type":"WhitespaceSplit"}""", " don't  stop", "don't|stop")]
    [InlineData("""{"type":"Punctuation"}""", "a$b。", "a|$|b|。")]
    [InlineData("""{"type":"BertPreTokenizer"}""", "a, b", "a|,|b")]
    [InlineData("""{"type":"CharDelimiterSplit","delimiter":"x"}""", "axbx", "a|b")]
    [InlineData("""{"type":"FixedLength","length":2}""", "a🙂bcd", "a🙂|bc|d")]
    [InlineData("""{"type":"Split","pattern":{"Regex":"\\p{L}+"},"behavior":"Removed","invert":true}""", "ab, cd", "ab|cd")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Digits","individual_digits":true}]}""", "a1 b",
        "a|1|b")]
    public void EachPreTokenizer_SplitsText(string preTokenizer, string text, string expected) =>
        Assert.Equal(expected.Split('|'), TestTokenizers.Split(preTokenizer, text));

    [Fact]
    public void RunesBeyondTheBasicPlane_CountOnceAndKeepTheirCategory()
    {
        const string Pattern =
            """{"type":"Split","pattern":{"Regex":"\\p{L}+|\\p{N}{1,3}|[^\\p{L}\\p{N}]"},"behavior":"Isolated","invert":false}""";
        Assert.Equal(["𝐀𠀀b", "𝟙𝟚𝟛", "𝟜", "🙂", "🙂"], TestTokenizers.Split(Pattern, "𝐀𠀀b𝟙𝟚𝟛𝟜🙂🙂"));
    }
}
