using System.Text;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>Removes the runes for which a predicate is false.</summary>
internal sealed class RuneFilterNormalizer(Func<Rune, bool> keep) : INormalizer
{
    public AlignedText Normalize(AlignedText text)
    {
        var result = text.Rewrite();
        for (int i = 0; i < text.Length;)
        {
            var rune = text.RuneAt(i);
            int next = i + rune.Utf16SequenceLength;
            if (keep(rune)) result.Append(text, i, next);
            i = next;
        }
        return result;
    }
}
