using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>Splits every so many code points.</summary>
internal sealed class FixedLengthPreTokenizer(int length) : IPreTokenizer
{
    public PreTokenizedText Split(PreTokenizedText words)
    {
        var spans = new List<TextSpan>();
        foreach (var word in words.Spans)
        {
            int start = word.Start, count = 0;
            for (int i = word.Start; i < word.End;)
            {
                i += words.Text.RuneAt(i).Utf16SequenceLength;
                if (++count < length && i < word.End) continue;
                spans.Add(new TextSpan(start, i));
                (start, count) = (i, 0);
            }
        }
        return words with { Spans = spans };
    }
}
