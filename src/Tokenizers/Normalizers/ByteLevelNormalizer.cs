using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>Converts a text to UTF-8 and maps each byte to one char of <see cref="ByteAlphabet"/>.</summary>
internal sealed class ByteLevelNormalizer : INormalizer
{
    public AlignedText Normalize(AlignedText text)
    {
        var result = text.Rewrite(text.Length / 8);
        ByteAlphabet.Append(text, new TextSpan(0, text.Length), result);
        return result;
    }
}
