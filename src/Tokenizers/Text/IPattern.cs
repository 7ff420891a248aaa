namespace Ndif.Tokenizers.Text;

/// <summary>A stretch of text that a pattern matched, or the stretch between two matches.</summary>
internal readonly record struct PatternMatch(int Start, int End, bool IsMatch);

/// <summary>What a text is searched for: a literal, a class of runes or a regular expression.</summary>
internal interface IPattern
{
    /// <summary>Appends stretches that cover the whole text in order, matches and the rest.</summary>
    void FindMatches(ReadOnlySpan<char> text, List<PatternMatch> matches);
}
