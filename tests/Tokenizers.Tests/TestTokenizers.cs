using System.Text;
using System.Text.Json;
using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Tests;

/// <summary>Small tokenizers, so that most tests need no file.</summary>
static class TestTokenizers
{
    /// <summary>A tokenizer of a model and any other parts, all JSON.</summary>
    public static HuggingFaceTokenizer Create(string model, string parts = "", string? config = null) =>
        HuggingFaceTokenizer.FromJson(Utf8($$"""{"version":"1.0"{{(parts.Length > 0 ? "," : "")}}{{parts}},"model":{{model}}}"""),
            config is null ? default : Utf8(config));

    /// <summary>A byte-pair model over all bytes as visible chars, with these merges ("a b").</summary>
    public static string ByteLevelBpe(params string[] merges)
    {
        var bytes = AlignedText.Of(Encoding.Latin1.GetString([.. Enumerable.Range(0, 128).Select(b => (byte)b)]), new TextSpan(0, 128));
        var alphabet = bytes.Rewrite();
        ByteAlphabet.Append(bytes, new TextSpan(0, 128), alphabet);
        // the bytes of ï (C3 AF) and é (C3 A9), and of 🙂 (F0 9F 99 82)
        List<string> tokens = [.. alphabet.Chars.ToArray().Select(c => c.ToString()), "Ã", "¯", "©", "ð", "Ł", "Ļ", "Ĥ"];
        tokens.AddRange(merges.Select(merge => merge.Replace(" ", "", StringComparison.Ordinal)));
        return Model(tokens, merges);
    }

    public static string Model(IEnumerable<string> tokens, IEnumerable<string> merges, string more = "")
    {
        var vocabulary = tokens.Distinct().Select((token, id) => (token, id)).ToDictionary(entry => entry.token, entry => entry.id);
        return $$"""{"type":"BPE","vocab":{{JsonSerializer.Serialize(vocabulary)}},"merges":{{JsonSerializer.Serialize(merges)}}{{more}}}""";
    }

    /// <summary>Every printable ASCII char as a token, and these.</summary>
    public static IEnumerable<string> Ascii(params string[] more) => Enumerable.Range(32, 95).Select(c => ((char)c).ToString()).Concat(more);

    public static JsonSection ParseJson(string json) => new(JsonDocument.Parse(json).RootElement, "test");

    public static AlignedText ToAlignedText(string text) => AlignedText.Of(text, new TextSpan(0, text.Length));

    /// <summary>The words that a pre-tokenizer makes of a text.</summary>
    public static string[] Split(string preTokenizer, string text)
    {
        var words = PreTokenizers.PreTokenizerReader.Read(ParseJson(preTokenizer)).Split(new PreTokenizedText(ToAlignedText(text), [new TextSpan(0, text.Length)]));
        return [.. words.Spans.Select(span => words.Text.Chars[span.Start..span.End].ToString())];
    }

    /// <summary>What a normalizer makes of a text, and where each char came from.</summary>
    public static (string Text, Origin[] Origins) Normalize(string normalizer, string text)
    {
        var result = Normalizers.NormalizerReader.Read(ParseJson(normalizer)).Normalize(ToAlignedText(text));
        return (result.Chars.ToString(), [.. Enumerable.Range(0, result.Length).Select(result.OriginAt)]);
    }

    /// <summary>The text that a decoder makes of tokens.</summary>
    public static string Decode(string decoder, params string[] tokens) =>
        string.Concat(Decoders.DecoderReader.Read(ParseJson(decoder)).Decode([.. tokens]));

    public static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text);
}
