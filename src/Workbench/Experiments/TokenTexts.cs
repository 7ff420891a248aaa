using Ndif.Tokenizers;

namespace Ndif.Workbench.Experiments;

/// <summary>Tokens as texts for people.</summary>
internal static class TokenTexts
{
    /// <summary>The tokens of a text.</summary>
    public static IReadOnlyList<string> Split(HuggingFaceTokenizer tokenizer, string text) =>
        [.. tokenizer.Encode(text).Select(id => Shorten(tokenizer.Decode(id)))];

    /// <summary>A token without surrounding spaces, with visible line ends.</summary>
    public static string Shorten(string token)
    {
        string shown = token.Replace("\r", "", StringComparison.Ordinal).Replace("\n", "↵", StringComparison.Ordinal)
            .Replace("\t", "⇥", StringComparison.Ordinal);
        return shown.Trim() is { Length: > 0 } text ? text : "␣";
    }

    /// <summary>A token in quotes, with its spaces.</summary>
    public static string Quote(string token) => $"“{token.Replace("\n", "↵", StringComparison.Ordinal)}”";
}
