namespace Ndif.Tokenizers.Text;

/// <summary>A pattern to search a text for: a literal string, a class of runes or a regular expression.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/tokenizer/pattern.rs</remarks>
internal interface IPattern
{
    /// <summary>Appends the matches and the ranges between them, in order, so that they cover the whole text.</summary>
    void FindMatches(ReadOnlySpan<char> text, List<PatternMatch> matches);
}
