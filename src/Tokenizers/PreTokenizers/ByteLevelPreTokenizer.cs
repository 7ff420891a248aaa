using System.Text.RegularExpressions;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>GPT-2's: an optional space in front, words by its regular expression, then each byte as one visible char.</summary>
internal sealed partial class ByteLevelPreTokenizer(bool addPrefixSpace, bool useRegex) : IPreTokenizer
{
    // openai/gpt-2 src/encoder.py; no backtracking beyond one char, so it needs no time-out
    [GeneratedRegex(@"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", RegexOptions.CultureInvariant)]
    private static partial Regex Gpt2();

    static readonly RegexPattern _gpt2Pattern = new(Gpt2());

    public PreTokenizedText Split(PreTokenizedText words)
    {
        if (addPrefixSpace) words = AddPrefixSpace(words);
        if (useRegex) words = words.Split(_gpt2Pattern, SplitBehavior.Isolated);

        var bytes = words.Text.Rewrite(words.Text.Length / 8);
        var spans = new List<TextSpan>(words.Spans.Count);
        foreach (var word in words.Spans)
        {
            int start = bytes.Length;
            ByteAlphabet.Append(words.Text, word, bytes);
            spans.Add(new TextSpan(start, bytes.Length));
        }
        return new PreTokenizedText(bytes, spans);
    }

    static PreTokenizedText AddPrefixSpace(PreTokenizedText words)
    {
        var text = words.Text.Rewrite(words.Spans.Count);
        var spans = new List<TextSpan>(words.Spans.Count);
        foreach (var word in words.Spans)
        {
            int start = text.Length;
            if (words.Text.Chars[word.Start] != ' ') text.Append(' ', words.Text.OriginAt(word.Start));
            text.Append(words.Text, word.Start, word.End);
            spans.Add(new TextSpan(start, text.Length));
        }
        return new PreTokenizedText(text, spans);
    }
}
