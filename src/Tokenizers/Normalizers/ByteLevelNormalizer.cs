using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>Each byte of the text's UTF-8 as one visible char.</summary>
internal sealed class ByteLevelNormalizer : INormalizer
{
    public AlignedText Normalize(AlignedText text)
    {
        var result = text.Rewrite(text.Length / 8);
        ByteAlphabet.Append(text, new TextSpan(0, text.Length), result);
        return result;
    }
}
