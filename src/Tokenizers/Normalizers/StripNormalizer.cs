using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>Removes white space at the start and end of a text.</summary>
internal sealed class StripNormalizer(bool left, bool right) : INormalizer
{
    public AlignedText Normalize(AlignedText text)
    {
        int start = 0, end = text.Length; // every white space character is one char: all are in the basic multilingual plane
        while (left && start < end && char.IsWhiteSpace(text.Chars[start])) start++;
        while (right && end > start && char.IsWhiteSpace(text.Chars[end - 1])) end--;
        if (start == 0 && end == text.Length) return text;

        var result = text.Rewrite();
        result.Append(text, start, end);
        return result;
    }
}
