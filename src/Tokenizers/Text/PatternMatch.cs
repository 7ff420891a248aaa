namespace Ndif.Tokenizers.Text;

/// <summary>A range of a text, in UTF-16 code units, that a pattern matches, or the range between two matches.</summary>
internal readonly record struct PatternMatch(int Start, int End, bool IsMatch);
