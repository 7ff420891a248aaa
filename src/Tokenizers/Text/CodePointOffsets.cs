namespace Ndif.Tokenizers.Text;

/// <summary>Turns UTF-16 positions into code point positions, which is how Hugging Face counts offsets.</summary>
internal sealed class CodePointOffsets
{
    readonly int[]? _before; // null: no surrogate pair, positions are the same

    public CodePointOffsets(ReadOnlySpan<char> text)
    {
        if (text.IndexOfAnyInRange('\uD800', '\uDFFF') < 0) return;
        _before = new int[text.Length + 1];
        for (int i = 0, count = 0; i < text.Length; i++)
        {
            bool second = i > 0 && char.IsSurrogatePair(text[i - 1], text[i]);
            _before[i] = second ? count - 1 : count++;
            _before[i + 1] = count;
        }
    }

    public int At(int utf16) => _before is null ? utf16 : _before[utf16];
}
