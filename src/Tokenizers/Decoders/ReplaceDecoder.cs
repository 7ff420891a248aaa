using System.Text;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Decoders;

/// <summary>Replaces each match of a pattern in each token.</summary>
internal sealed class ReplaceDecoder(IPattern pattern, string content) : IDecoder
{
    public List<string> Decode(List<string> tokens)
    {
        var result = new List<string>(tokens.Count);
        var matches = new List<PatternMatch>();
        long maxLength = SequenceDecoder.GetMaxLength(tokens), remaining = maxLength;
        foreach (string token in tokens)
        {
            matches.Clear();
            pattern.FindMatches(token, matches);
            if (!matches.Exists(match => match.IsMatch))
            {
                result.Add(token);
                continue;
            }
            var text = new StringBuilder(token.Length);
            foreach (var (start, end, isMatch) in matches)
            {
                text.Append(isMatch ? content : token.AsSpan(start, end - start));
                if (isMatch && (remaining -= content.Length) < 0) throw SequenceDecoder.CreateTooLongException(maxLength);
            }
            result.Add(text.ToString());
        }
        return result;
    }
}
