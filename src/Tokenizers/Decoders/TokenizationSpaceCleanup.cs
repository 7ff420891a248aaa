namespace Ndif.Tokenizers.Decoders;

/// <summary>Takes out the spaces before English punctuation and contractions that joining words has put in.</summary>
internal static class TokenizationSpaceCleanup
{
    static readonly (string Old, string New)[] _rules =
    [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
        (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ];

    /// <summary>For the decoders WordPiece and CTC (Hugging Face tokenizers, decoders/wordpiece.rs).</summary>
    public static string Apply(string text)
    {
        foreach (var (old, replacement) in _rules) text = text.Replace(old, replacement, StringComparison.Ordinal);
        return text;
    }

    /// <summary>For <c>clean_up_tokenization_spaces</c> (transformers, clean_up_tokenization), which leaves "do not" alone.</summary>
    public static string ApplyToText(string text)
    {
        foreach (var (old, replacement) in _rules)
            if (old != " do not") text = text.Replace(old, replacement, StringComparison.Ordinal);
        return text;
    }

    /// <summary>Whether what comes next could still make a rule apply to the end of a text.</summary>
    public static bool EndsWithPartialRule(ReadOnlySpan<char> text)
    {
        foreach (var (old, _) in _rules)
            for (int length = Math.Min(old.Length - 1, text.Length); length > 0; length--)
                if (text.EndsWith(old.AsSpan(0, length), StringComparison.Ordinal)) return true;
        return false;
    }
}
