namespace Ndif.Tokenizers.Text;

/// <summary>
/// The byte alphabet of GPT-2: a printable char for each byte, so that a vocabulary over bytes can be written as text. A printable
/// Latin-1 byte maps to the char of the same value. The other 68 bytes map to U+0100 and the following chars, in order; a space
/// maps to 'Ġ'.
/// </summary>
/// <remarks>openai/gpt-2, src/encoder.py, bytes_to_unicode</remarks>
internal static class ByteAlphabet
{
    private static readonly char[] _chars = new char[256];
    private static readonly short[] _bytes = new short[0x144];

    static ByteAlphabet()
    {
        Array.Fill(_bytes, (short)-1);
        char next = '\u0100';
        for (int b = 0; b < 256; b++)
        {
            bool isPrintable = b is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE and <= 0xFF;
            _chars[b] = isPrintable ? (char)b : next++;
            _bytes[_chars[b]] = (short)b;
        }
    }

    /// <summary>The char of a space.</summary>
    public const char Space = '\u0120';

    /// <summary>The byte of a char, or -1 if the char is not in the alphabet.</summary>
    public static int ByteOf(char c) => c < _bytes.Length ? _bytes[c] : -1;

    /// <summary>Appends the UTF-8 bytes of a range of a text, each as one char. All bytes of a rune have the origin of the rune.</summary>
    public static void Append(AlignedText text, TextSpan span, AlignedText result)
    {
        var chars = text.Chars;
        Span<byte> utf8 = stackalloc byte[4];
        for (int i = span.Start; i < span.End; i++)
        {
            char c = chars[i];
            if (c < 0x80)
            {
                result.Append(_chars[c], text.OriginAt(i));
                continue;
            }
            var rune = text.RuneAt(i);
            foreach (byte b in utf8[..rune.EncodeToUtf8(utf8)]) result.Append(_chars[b], text.OriginAt(i));
            i += rune.Utf16SequenceLength - 1;
        }
    }
}
