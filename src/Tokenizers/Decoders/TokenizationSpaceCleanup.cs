namespace Ndif.Tokenizers.Decoders;

/// <summary>Removes the spaces before English punctuation and contractions that joining tokens with spaces creates.</summary>
internal static class TokenizationSpaceCleanup
{
    private static readonly (string Old, string New)[] _rules =
    [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
        (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ];

    /// <summary>
    /// Applies the rules of the decoders WordPiece and CTC (huggingface/tokenizers, tokenizers/src/decoders/wordpiece.rs, cleanup).
    /// </summary>
    public static string Apply(string text)
    {
        foreach (var (old, replacement) in _rules) text = text.Replace(old, replacement, StringComparison.Ordinal);
        return text;
    }

    /// <summary>
    /// Applies the rules of <c>clean_up_tokenization_spaces</c> (transformers, clean_up_tokenization), which does not change "do not".
    /// </summary>
    public static string ApplyToText(string text)
    {
        foreach (var (old, replacement) in _rules)
            if (old != " do not") text = text.Replace(old, replacement, StringComparison.Ordinal);
        return text;
    }

    /// <summary>Returns true if a text ends with the beginning of a rule, so that text appended to it can make the rule apply.</summary>
    public static bool EndsWithPartialRule(ReadOnlySpan<char> text)
    {
        foreach (var (old, _) in _rules)
            for (int length = Math.Min(old.Length - 1, text.Length); length > 0; length--)
                if (text.EndsWith(old.AsSpan(0, length), StringComparison.Ordinal)) return true;
        return false;
    }
}
