using System.Text;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>Replaces each rune by a string with the same origin. A rune that maps to null is kept.</summary>
internal sealed class RuneMapNormalizer(Func<Rune, string?> map) : INormalizer
{
    public AlignedText Normalize(AlignedText text)
    {
        var result = text.Rewrite();
        for (int i = 0; i < text.Length;)
        {
            var rune = text.RuneAt(i);
            int next = i + rune.Utf16SequenceLength;
            if (map(rune) is { } replacement) result.Append(replacement, text.OriginAt(i));
            else result.Append(text, i, next);
            i = next;
        }
        return result;
    }
}
