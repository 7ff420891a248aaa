using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>Inserts a prefix at the start of a text that is not empty. The prefix has the origin of the first rune.</summary>
internal sealed class PrependNormalizer(string prefix) : INormalizer
{
    public AlignedText Normalize(AlignedText text)
    {
        if (text.Length == 0 || prefix.Length == 0) return text;
        var result = text.Rewrite(prefix.Length);
        result.Append(prefix, text.OriginAt(0));
        result.Append(text, 0, text.Length);
        return result;
    }
}
