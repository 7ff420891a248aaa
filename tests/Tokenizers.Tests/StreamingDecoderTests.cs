namespace Ndif.Tokenizers.Tests;

public sealed class StreamingDecoderTests
{
    private static readonly HuggingFaceTokenizer _byteLevel = TestTokenizers.Create(TestTokenizers.ByteLevelBpe(), """
        "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"decoder":{"type":"ByteLevel"}
        """);

    [Fact]
    public void IncompleteCharacter_IsWithheldUntilItsLastByte()
    {
        var stream = _byteLevel.NewStream();
        Assert.Equal(["a", "", "", "", "🙂", "b"], _byteLevel.Encode("a🙂b").Select(stream.Add));
        Assert.Equal("", stream.Finish());
    }

    [Fact]
    public void CharacterThatNeverCompletes_ComesAtTheEnd()
    {
        var stream = _byteLevel.NewStream();
        Assert.Equal(["a", "", ""], _byteLevel.Encode("a🙂").Take(3).Select(stream.Add));
        Assert.Equal("\uFFFD", stream.Finish());
        Assert.Equal("x", stream.Add(_byteLevel.TokenToId("x")!.Value));
    }

    [Fact]
    public void RandomIds_GiveTheSameAsDecodingThemAtOnce()
    {
        var random = new Random(3);
        for (int i = 0; i < 300; i++)
        {
            // At most seven invalid bytes in a row, fewer than the limit of pending tokens.
            int[] ids = [.. Enumerable.Range(0, 40).Select(n => n % 8 == 7 ? 65 : random.Next(_byteLevel.VocabularySize))];
            var stream = _byteLevel.NewStream();
            Assert.Equal(_byteLevel.Decode(ids), string.Concat(ids.Select(stream.Add)) + stream.Finish());
        }
    }

    [Fact]
    public void SpacesThatCleaningUpMayTakeOut_AreWithheld()
    {
        var tokenizer = TestTokenizers.Create(
            TestTokenizers.WordLevel("Hello", ".", "n", "'t"), config: """{"clean_up_tokenization_spaces":true}""");
        foreach (int[] ids in (int[][])[[0, 1, 0], [0, 2, 0], [1, 1, 1], [0, 2, 3]])
        {
            var stream = tokenizer.NewStream();
            Assert.Equal(tokenizer.Decode(ids), string.Concat(ids.Select(stream.Add)) + stream.Finish());
        }
    }

    [Fact]
    public void SmallDestination_SaysHowFarItGot()
    {
        Span<char> destination = stackalloc char[2];
        var ids = _byteLevel.Encode("abc");
        var status = _byteLevel.Decode(ids, destination, out int consumed, out int written);
        Assert.Equal(System.Buffers.OperationStatus.DestinationTooSmall, status);
        Assert.Equal((2, 2, "ab"), (consumed, written, destination.ToString()));
    }
}
