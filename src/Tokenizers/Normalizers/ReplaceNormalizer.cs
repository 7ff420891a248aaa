using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>Replaces each match of a pattern. The new text has the origin of the last rune that it replaces.</summary>
internal sealed class ReplaceNormalizer(IPattern pattern, string content) : INormalizer
{
    public AlignedText Normalize(AlignedText text)
    {
        var matches = new List<PatternMatch>();
        pattern.FindMatches(text.Chars, matches);
        if (!matches.Exists(match => match.IsMatch)) return text;

        var result = text.Rewrite();
        foreach (var (start, end, isMatch) in matches)
        {
            if (!isMatch)
                result.Append(text, start, end);
            else if (text.Length > 0)
            {
                var first = text.OriginAt(0);
                result.Append(content, end > 0 ? text.OriginAt(end - 1) : new Origin(first.Start, first.Start));
            }
        }
        return result;
    }
}
