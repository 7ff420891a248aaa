using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>Splits a text into words of a fixed number of code points.</summary>
internal sealed class FixedLengthPreTokenizer(int length) : IPreTokenizer
{
    public PreTokenizedText Split(PreTokenizedText input)
    {
        var spans = new List<TextSpan>();
        foreach (var span in input.Spans)
        {
            int start = span.Start, count = 0;
            for (int i = span.Start; i < span.End;)
            {
                i += input.Text.RuneAt(i).Utf16SequenceLength;
                if (++count < length && i < span.End) continue;
                spans.Add(new TextSpan(start, i));
                (start, count) = (i, 0);
            }
        }
        return input with { Spans = spans };
    }
}
