using System.Text;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>Converts each rune to lower case, as Rust's char::to_lowercase does: only U+0130 becomes two runes.</summary>
internal sealed class LowercaseNormalizer : INormalizer
{
    public AlignedText Normalize(AlignedText text)
    {
        var result = text.Rewrite();
        for (int i = 0; i < text.Length;)
        {
            var rune = text.RuneAt(i);
            if (rune.Value == 0x130)
                result.Append("i\u0307", text.OriginAt(i));
            else
                result.Append(Rune.ToLowerInvariant(rune), text.OriginAt(i));
            i += rune.Utf16SequenceLength;
        }
        return result;
    }
}
