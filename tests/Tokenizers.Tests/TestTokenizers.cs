using System.Text;
using System.Text.Json;
using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Tests;

/// <summary>Creates small tokenizers, so that most tests need no file.</summary>
internal static class TestTokenizers
{
    /// <summary>Creates a tokenizer.</summary>
    /// <param name="model">The model, as JSON.</param>
    /// <param name="otherFields">The other fields of tokenizer.json, as JSON.</param>
    /// <param name="config">The content of tokenizer_config.json; null if there is none.</param>
    public static HuggingFaceTokenizer Create(string model, string otherFields = "", string? config = null)
    {
        string separator = otherFields.Length > 0 ? "," : "";
        byte[] json = Utf8($$"""{"version":"1.0"{{separator}}{{otherFields}},"model":{{model}}}""");
        return HuggingFaceTokenizer.FromJson(json, config is null ? default : Utf8(config));
    }

    /// <summary>A BPE model over the chars of <see cref="ByteAlphabet"/>, with merges such as "a b".</summary>
    public static string ByteLevelBpe(params string[] merges)
    {
        var bytes = AlignedText.Of(Encoding.Latin1.GetString([.. Enumerable.Range(0, 128).Select(b => (byte)b)]), new TextSpan(0, 128));
        var alphabet = bytes.Rewrite();
        ByteAlphabet.Append(bytes, new TextSpan(0, 128), alphabet);
        // The bytes of ï (C3 AF), é (C3 A9) and 🙂 (F0 9F 99 82).
        List<string> tokens = [.. alphabet.Chars.ToArray().Select(c => c.ToString()), "Ã", "¯", "©", "ð", "Ł", "Ļ", "Ĥ"];
        tokens.AddRange(merges.Select(merge => merge.Replace(" ", "", StringComparison.Ordinal)));
        return Model(tokens, merges);
    }

    /// <summary>A BPE model with these tokens, whose ids are their indices, and optionally more fields.</summary>
    public static string Model(IEnumerable<string> tokens, IEnumerable<string> merges, string otherFields = "")
    {
        string vocab = JsonSerializer.Serialize(
            tokens.Distinct().Select((token, id) => (token, id)).ToDictionary(entry => entry.token, entry => entry.id));
        return $$"""{"type":"BPE","vocab":{{vocab}},"merges":{{JsonSerializer.Serialize(merges)}}{{otherFields}}}""";
    }

    /// <summary>A model that maps whole words to their indices.</summary>
    public static string WordLevel(params string[] words)
    {
        string vocab = JsonSerializer.Serialize(
            words.Select((word, id) => (word, id)).ToDictionary(entry => entry.word, entry => entry.id));
        return $$"""{"type":"WordLevel","unk_token":"<unk>","vocab":{{vocab}}}""";
    }

    /// <summary>The printable ASCII chars followed by other tokens.</summary>
    public static IEnumerable<string> Ascii(params string[] otherTokens) =>
        Enumerable.Range(32, 95).Select(c => ((char)c).ToString()).Concat(otherTokens);

    public static JsonSection ParseJson(string json) => new(JsonDocument.Parse(json).RootElement, "test");

    public static AlignedText ToAlignedText(string text) => AlignedText.Of(text, new TextSpan(0, text.Length));

    /// <summary>Splits a text with a pre-tokenizer.</summary>
    public static string[] Split(string preTokenizer, string text)
    {
        var input = new PreTokenizedText(ToAlignedText(text), [new TextSpan(0, text.Length)]);
        var result = PreTokenizers.PreTokenizerReader.Read(ParseJson(preTokenizer)).Split(input);
        return [.. result.Spans.Select(span => result.Text.Chars[span.Start..span.End].ToString())];
    }

    /// <summary>Normalizes a text and returns the origin of each char.</summary>
    public static (string Text, Origin[] Origins) Normalize(string normalizer, string text)
    {
        var result = Normalizers.NormalizerReader.Read(ParseJson(normalizer)).Normalize(ToAlignedText(text));
        return (result.Chars.ToString(), [.. Enumerable.Range(0, result.Length).Select(result.OriginAt)]);
    }

    /// <summary>Decodes tokens with a decoder.</summary>
    public static string Decode(string decoder, params string[] tokens) =>
        string.Concat(Decoders.DecoderReader.Read(ParseJson(decoder)).Decode([.. tokens]));

    public static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text);
}
