namespace Ndif.Tokenizers.Text;

/// <summary>Converts UTF-16 offsets of a text to code point offsets, the unit of Hugging Face's offsets.</summary>
internal sealed class CodePointOffsets
{
    private readonly int[]? _offsets; // null if the text has no surrogate pair: then both offsets are equal

    public CodePointOffsets(ReadOnlySpan<char> text)
    {
        if (text.IndexOfAnyInRange('\uD800', '\uDFFF') < 0) return;
        _offsets = new int[text.Length + 1];
        for (int i = 0, count = 0; i < text.Length; i++)
        {
            bool isLowSurrogate = i > 0 && char.IsSurrogatePair(text[i - 1], text[i]);
            _offsets[i] = isLowSurrogate ? count - 1 : count++;
            _offsets[i + 1] = count;
        }
    }

    public int FromUtf16(int offset) => _offsets is null ? offset : _offsets[offset];
}
