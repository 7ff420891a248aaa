using System.Text;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>Lower case, rune by rune, as Rust's char::to_lowercase: only U+0130 becomes two runes.</summary>
internal sealed class Lowercase : INormalizer
{
    public AlignedText Normalize(AlignedText text)
    {
        var result = new AlignedText(text.Length);
        for (int i = 0; i < text.Length;)
        {
            var rune = text.RuneAt(i);
            if (rune.Value == 0x130)
                result.Append("i\u0307", text.Origins[i]);
            else
                result.Append(Rune.ToLowerInvariant(rune), text.Origins[i]);
            i += rune.Utf16SequenceLength;
        }
        return result;
    }
}
