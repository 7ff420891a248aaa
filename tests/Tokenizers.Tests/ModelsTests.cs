namespace Ndif.Tokenizers.Tests;

public sealed class ModelsTests
{
    private static readonly string[] _merges = ["l o", "lo w", "e r", "low er", "n e"];

    private static string Bpe(string more = "", params string[] extra) =>
        TestTokenizers.Model(TestTokenizers.Ascii(["lo", "low", "er", "lower", "ne", .. extra]), _merges, more);

    [Theory]
    [InlineData("lower", "lower")]
    [InlineData("newer", "ne|w|er")]
    [InlineData("lolow", "lo|low")]
    [InlineData("", "")]
    public void Bpe_MergesTheLowestRankFirst(string text, string expected) =>
        Assert.Equal(expected.Split('|', StringSplitOptions.RemoveEmptyEntries), Tokens(Bpe(), text));

    [Fact]
    public void Bpe_ReadsMergesAsPairsToo()
    {
        var tokenizer = TestTokenizers.Create("""{"vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]}""");
        Assert.Equal([2, 0], tokenizer.Encode("aba"));
    }

    [Fact]
    public void Bpe_GivesTheSameForAWordOfAnyLength_AsMergingStepByStep()
    {
        var random = new Random(7);
        var tokenizer = TestTokenizers.Create(Bpe());
        for (int i = 0; i < 200; i++)
        {
            string word = string.Concat(Enumerable.Range(0, random.Next(1, 120)).Select(_ => "lower n"[random.Next(7)]));
            Assert.Equal(MergeStepByStep(word), tokenizer.EncodeWithOffsets(word).Tokens);
        }
    }

    private static IReadOnlyList<string> Tokens(string model, string text) =>
        TestTokenizers.Create(model).EncodeWithOffsets(text).Tokens;

    /// <summary>Merges one pair after the other, without a heap.</summary>
    private static List<string> MergeStepByStep(string word)
    {
        List<string> tokens = [.. word.Select(c => c.ToString())];
        while (true)
        {
            int best = -1, bestRank = int.MaxValue;
            for (int i = 0; i + 1 < tokens.Count; i++)
            {
                int rank = Array.IndexOf(_merges, tokens[i] + " " + tokens[i + 1]);
                if (rank >= 0 && rank < bestRank) (best, bestRank) = (i, rank);
            }
            if (best < 0) return tokens;
            tokens[best] += tokens[best + 1];
            tokens.RemoveAt(best + 1);
        }
    }

    [Fact]
    public void WordThatIsAToken_IsKeptWhole_WhenMergesAreIgnored()
    {
        Assert.Equal(["n", "o", "w"], Tokens(Bpe("", "now"), "now"));
        Assert.Equal(["now"], Tokens(Bpe(""","ignore_merges":true""", "now"), "now"));
    }

    [Fact]
    public void UnknownRunes_BecomeBytes_OrOneUnknownToken_OrSeveral_OrNothing()
    {
        string[] bytes = [.. "é"u8.ToArray().Select(b => $"<0x{b:X2}>")];
        Assert.Equal(["a", "<0xC3>", "<0xA9>"], Tokens(Bpe(""","byte_fallback":true""", bytes), "aé"));
        Assert.Equal(["a", "<unk>"], Tokens(Bpe(""","unk_token":"<unk>","fuse_unk":true""", "<unk>"), "aéé"));
        Assert.Equal(["a", "<unk>", "<unk>"], Tokens(Bpe(""","unk_token":"<unk>" """, "<unk>"), "aéé"));
        Assert.Equal(["a"], Tokens(Bpe(), "aéé"));
    }

    [Fact]
    public void UnknownTokenThatTheVocabularyLacks_IsAnError_WhenItIsNeeded()
    {
        var tokenizer = TestTokenizers.Create(Bpe(""","unk_token":"<unk>" """));
        Assert.Equal(["a"], tokenizer.EncodeWithOffsets("a").Tokens);
        var error = Assert.Throws<TokenizerFormatException>(() => tokenizer.Encode("é"));
        Assert.Contains("'é' is not in the vocabulary", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void PrefixAndSuffix_MarkPlacesInAWord()
    {
        const string Model = """
            {"type":"BPE","continuing_subword_prefix":"##","end_of_word_suffix":"</w>",
             "vocab":{"a":0,"##b":1,"##c</w>":2,"ab":3,"a</w>":4},"merges":["a ##b"]}
            """;
        Assert.Equal(["ab", "##c</w>"], TestTokenizers.Create(Model).EncodeWithOffsets("abc").Tokens);
        Assert.Equal(["a</w>"], TestTokenizers.Create(Model).EncodeWithOffsets("a").Tokens);
    }

    [Fact]
    public void CutBeforeAMark_ChangesNoToken()
    {
        // "a▁" is a token, so a word is not split after an 'a'. It is split before any other "▁".
        string[] merges = ["a ▁", "▁ b", "a▁ b"];
        string model = TestTokenizers.Model(TestTokenizers.Ascii("▁", "a▁", "▁b", "a▁b"), merges);
        var tokenizer = TestTokenizers.Create(model, """ "normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"}""");
        Assert.Equal(["c", "▁b", "a▁b", "▁", "▁b"], tokenizer.EncodeWithOffsets("c ba b  b").Tokens);
    }

    [Fact]
    public void Unigram_TakesTheBestSplit_AndJoinsUnknownRunes()
    {
        var tokenizer = TestTokenizers.Create("""
            {"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["a",0],["b",0],["c",0],["d",0],["cd",1],["ab",2],["abc",5],["abcd",10]]}
            """);
        var encoded = tokenizer.EncodeWithOffsets("abcdacdxx");
        Assert.Equal(["abcd", "a", "cd", "<unk>"], encoded.Tokens);
        Assert.Equal([(0, 4), (4, 5), (5, 7), (7, 9)], encoded.Offsets);
    }

    [Fact]
    public void WordPiece_TakesTheLongestPiece_OrTheWholeWordIsUnknown()
    {
        var tokenizer = TestTokenizers.Create("""
            {"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":10,
             "vocab":{"[UNK]":0,"un":1,"##aff":2,"##able":3,"u":4}}
            """, """ "pre_tokenizer":{"type":"WhitespaceSplit"}""");
        Assert.Equal([1, 2, 3, 0, 0], tokenizer.Encode("unaffable unaffx uuuuuuuuuuuuu"));
    }

    [Fact]
    public void WordLevel_KnowsWholeWords()
    {
        var tokenizer = TestTokenizers.Create("""{"type":"WordLevel","unk_token":"?","vocab":{"?":0,"yes":1}}""",
            """ "pre_tokenizer":{"type":"WhitespaceSplit"}""");
        Assert.Equal([1, 0, 1], tokenizer.Encode("yes no yes"));
    }
}
