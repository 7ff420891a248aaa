namespace Ndif.Tokenizers.Text;

/// <summary>
/// GPT-2's alphabet: a visible char for each byte, so that a byte-pair vocabulary can be written as text.
/// Printable Latin-1 stands for itself; the other 68 bytes are U+0100 onwards, in order (a space is 'Ġ').
/// </summary>
internal static class ByteAlphabet
{
    static readonly char[] _chars = new char[256];
    static readonly short[] _bytes = new short[0x144];

    static ByteAlphabet()
    {
        Array.Fill(_bytes, (short)-1);
        char next = '\u0100';
        for (int b = 0; b < 256; b++)
        {
            bool stands = b is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE and <= 0xFF;
            _chars[b] = stands ? (char)b : next++;
            _bytes[_chars[b]] = (short)b;
        }
    }

    /// <summary>What a space becomes.</summary>
    public const char Space = '\u0120';

    /// <summary>The byte that a char stands for, or -1.</summary>
    public static int ByteOf(char c) => c < _bytes.Length ? _bytes[c] : -1;

    /// <summary>Appends a part of a text in this alphabet; all bytes of a rune share its origin.</summary>
    public static void Append(AlignedText text, TextSpan part, AlignedText result)
    {
        var chars = text.Chars;
        Span<byte> utf8 = stackalloc byte[4];
        for (int i = part.Start; i < part.End; i++)
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
