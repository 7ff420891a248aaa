using System.Text.Json;
using Ndif.Server.OpenAi;
using Ndif.Tokenizers;

namespace Ndif.Server.Tests.OpenAi;

public sealed class TokenTextCacheTests
{
    /// <summary>All pairs of bytes, which are more than the cache has places.</summary>
    [Fact]
    public void Texts_AreThoseOfTheDecoder_WhateverWasAskedForBefore()
    {
        HuggingFaceTokenizer tokenizer = ByteTokenizer.Create();
        var texts = new TokenTextCache(tokenizer);
        string[] alone = [.. Enumerable.Range(0, 256).Select(id => tokenizer.Decode(id))];
        for (int round = 0; round < 2; round++)
        {
            for (int id = 0; id < 256; id++)
            {
                Assert.Equal(alone[id], texts.Get(null, id));
                for (int previous = 0; previous < 256; previous++)
                {
                    string both = tokenizer.Decode([previous, id]);
                    string expected = both.StartsWith(alone[previous], StringComparison.Ordinal)
                        ? both[alone[previous].Length..] : alone[id];
                    if (texts.Get(previous, id) is var text && text != expected)
                        Assert.Fail($"{previous} {id}: `{text}` and not `{expected}`");
                }
            }
        }
        Assert.Equal("A", texts.Get('x', 'A'));
        Assert.Same(texts.Get('x', 'A'), texts.Get('x', 'A'));
    }
}

/// <summary>A tokenizer whose tokens are bytes.</summary>
internal static class ByteTokenizer
{
    public static HuggingFaceTokenizer Create() =>
        HuggingFaceTokenizer.FromFiles(new Dictionary<string, ReadOnlyMemory<byte>> { ["tokenizer.json"] = CreateFile() });

    /// <summary>The bytes of its tokenizer.json.</summary>
    public static byte[] CreateFile()
    {
        Dictionary<string, int> vocabulary = [];
        int other = 256; // bytes that are no visible characters have the characters from 256 on (bytes_to_unicode of GPT-2)
        for (int value = 0; value < 256; value++)
        {
            bool isVisible = value is >= '!' and <= '~' or >= 0xa1 and <= 0xac or >= 0xae;
            vocabulary.Add($"{(char)(isVisible ? value : other++)}", value);
        }
        return JsonSerializer.SerializeToUtf8Bytes(new
        {
            model = new { type = "BPE", vocab = vocabulary, merges = Array.Empty<string>() },
            pre_tokenizer = new { type = "ByteLevel", add_prefix_space = false, trim_offsets = true, use_regex = true },
            decoder = new { type = "ByteLevel" },
        });
    }
}
