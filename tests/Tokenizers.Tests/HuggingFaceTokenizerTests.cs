namespace Ndif.Tokenizers.Tests;

public sealed class HuggingFaceTokenizerTests
{
    private static readonly HuggingFaceTokenizer _tokenizer = TestTokenizers.Create(
        TestTokenizers.ByteLevelBpe("P a", "Ġ Pa", "r i", "ri s", "ĠPa ris"),
        """
        "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"decoder":{"type":"ByteLevel"},
        "added_tokens":[{"id":140,"content":"<|endoftext|>","special":true}]
        """,
        """{"eos_token":"<|endoftext|>"}""");

    [Fact]
    public void Text_BecomesIdsAndTextAgain()
    {
        const string Text = " Paris é🙂\n<|endoftext|>";
        Assert.Equal(Text, _tokenizer.Decode(_tokenizer.Encode(Text)));
        Assert.Equal(" Paris", _tokenizer.Decode(_tokenizer.Encode(" Paris").Single()));
        Assert.Equal(_tokenizer.EosId, _tokenizer.Encode(Text)[^1]);
    }

    [Fact]
    public void Offsets_CountCodePoints_AndRangesCountChars()
    {
        var encoded = _tokenizer.EncodeWithOffsets("🙂 Paris");
        Assert.Equal((1, 7), encoded.Offsets[^1]);
        Assert.Equal(" Paris", "🙂 Paris"[encoded.Ranges[^1]]);
        // Each byte of the emoji has the offsets of the whole emoji.
        Assert.Equal(Enumerable.Repeat((0, 1), 4), encoded.Offsets.Take(4));
    }

    [Fact]
    public void BatchDecode_TakesRowsOrSingleIds()
    {
        var ids = _tokenizer.Encode(" Paris!");
        Assert.Equal([" Paris!", ""], _tokenizer.BatchDecode([ids, []]));
        Assert.Equal([" Paris", "!"], _tokenizer.BatchDecode(ids));
    }

    [Fact]
    public void TokensAndIds_TranslateBothWays()
    {
        int id = _tokenizer.TokenToId("ĠParis")!.Value;
        Assert.Equal("ĠParis", _tokenizer.IdToToken(id));
        Assert.Null(_tokenizer.TokenToId("Paris, Texas"));
        Assert.Null(_tokenizer.IdToToken(-5));
    }

    [Fact]
    public void CallersOfTheContract_CanLimitTheTokens()
    {
        Microsoft.ML.Tokenizers.Tokenizer contract = _tokenizer;
        Assert.Equal(2, contract.EncodeToIds("ab Paris", 2, out _, out int consumed).Count);
        Assert.Equal(2, consumed);
        Assert.Equal(2, contract.GetIndexByTokenCount("ab Paris", 2, out _, out int count));
        Assert.Equal(2, count);
        Assert.Equal(2, contract.GetIndexByTokenCountFromEnd("ab Paris", 1, out _, out _));
        Assert.Equal(["a", "b", "ĠParis"], contract.EncodeToTokens("ab Paris", out _).Select(token => token.Value));
        Assert.Throws<NotSupportedException>(() => contract.EncodeToIds("a", considerNormalization: false));
    }

    [Fact]
    public void ManyThreads_GetTheSameIds()
    {
        string[] texts = [.. Enumerable.Range(0, 500).Select(i => $" Paris {i} aris Pa{i % 7}")];
        int[][] expected = [.. texts.Select(text => _tokenizer.Encode(text).ToArray())];
        Parallel.For(0, 4_000, i => Assert.Equal(expected[i % texts.Length], _tokenizer.Encode(texts[i % texts.Length])));
    }

    [Fact]
    public void WordsBeyondTheCache_KeepTheirIds()
    {
        var random = new Random(1);
        string[] words = [.. Enumerable.Range(0, 40_000).Select(_ => RandomWord(random))];
        foreach (string word in words.Concat(words)) Assert.Equal(word, _tokenizer.Decode(_tokenizer.Encode(word)));
    }

    private static string RandomWord(Random random) => new([.. Enumerable.Range(0, 6).Select(_ => (char)random.Next('a', 'z'))]);
}
