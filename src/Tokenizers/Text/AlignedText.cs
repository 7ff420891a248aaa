using System.Text;

namespace Ndif.Tokenizers.Text;

/// <summary>
/// Text on its way through the stages: each char knows the range of the original it came from,
/// so that a token's offsets survive every replacement. (Hugging Face's NormalizedString, in UTF-16.)
/// </summary>
internal sealed class AlignedText
{
    readonly int _shift, _limit;
    char[] _chars;
    Origin[]? _origins; // null while char i still is the original's char _shift + i, as in most prompts

    AlignedText(int capacity, int shift, int limit)
    {
        _shift = shift; // where in the original the first char is expected to come from
        _limit = limit;
        _chars = new char[Math.Clamp(capacity, 16, limit)];
    }

    public int Length { get; private set; }

    public ReadOnlySpan<char> Chars => _chars.AsSpan(0, Length);

    /// <summary>A part of the original text; a lone surrogate becomes U+FFFD, as in UTF-8.</summary>
    public static AlignedText Of(ReadOnlySpan<char> original, TextSpan part)
    {
        // a file's stages may lengthen a text, but not without end: U+FDFA, the longest that Unicode has, becomes 18 characters
        int limit = (int)Math.Min(65_536 + 64L * part.Length, Array.MaxLength);
        var text = new AlignedText(part.Length, part.Start, limit);
        var chars = original[part.Start..part.End];
        int plain = chars.IndexOfAnyInRange('\uD800', '\uDFFF');
        if (plain < 0) plain = chars.Length;
        chars[..plain].CopyTo(text._chars);
        text.Length = plain;
        for (int i = part.Start + plain; i < part.End; i++)
        {
            char c = original[i];
            if (!char.IsSurrogate(c))
                text.Append(c, new Origin(i, i + 1));
            else if (char.IsHighSurrogate(c) && i + 1 < part.End && char.IsLowSurrogate(original[i + 1]))
            {
                var origin = new Origin(i, i + 2);
                text.Append(c, origin);
                text.Append(original[++i], origin);
            }
            else
                text.Append('\uFFFD', new Origin(i, i + 1));
        }
        return text;
    }

    /// <summary>An empty text that the chars of this one will be written to.</summary>
    public AlignedText Rewrite(int extra = 0) => new(Length + extra, Length > 0 ? OriginAt(0).Start : _shift, _limit);

    public Origin OriginAt(int index) => _origins is null ? new Origin(_shift + index, _shift + index + 1) : _origins[index];

    public void Append(char c, Origin origin)
    {
        if (Length == _chars.Length) Grow(Length + 1);
        if (_origins is not null || !IsNextOrigin(origin)) StoreOrigin(origin);
        _chars[Length++] = c;
    }

    public void Append(Rune rune, Origin origin)
    {
        if (rune.IsBmp)
        {
            Append((char)rune.Value, origin);
            return;
        }
        Span<char> pair = stackalloc char[2];
        rune.EncodeToUtf16(pair);
        Append(pair, origin);
    }

    /// <summary>Appends chars that all came from the same place.</summary>
    public void Append(ReadOnlySpan<char> chars, Origin origin)
    {
        foreach (char c in chars) Append(c, origin);
    }

    /// <summary>Appends a part of another text, origins included.</summary>
    public void Append(AlignedText source, int start, int end)
    {
        int count = end - start;
        if (Length + count > _chars.Length) Grow(Length + count);
        if (_origins is null && source._origins is null && source._shift + start == _shift + Length)
        {
            source._chars.AsSpan(start, count).CopyTo(_chars.AsSpan(Length));
            Length += count;
            return;
        }
        for (int i = start; i < end; i++) Append(source._chars[i], source.OriginAt(i));
    }

    /// <summary>The range of the original that a non-empty part of this text covers.</summary>
    public Origin Covering(int start, int end) => new(OriginAt(start).Start, OriginAt(end - 1).End);

    /// <summary>The rune at a position; what is held is always well-formed UTF-16.</summary>
    public Rune RuneAt(int index)
    {
        char c = _chars[index];
        return char.IsSurrogate(c) ? new Rune(c, _chars[index + 1]) : new Rune(c);
    }

    bool IsNextOrigin(Origin origin) => origin.Start == _shift + Length && origin.End == origin.Start + 1;

    void StoreOrigin(Origin origin)
    {
        if (_origins is null)
        {
            var origins = new Origin[_chars.Length];
            for (int i = 0; i < Length; i++) origins[i] = OriginAt(i);
            _origins = origins;
        }
        _origins[Length] = origin;
    }

    void Grow(int minLength)
    {
        if (minLength > _limit)
            throw new TokenizerFormatException("tokenizer.json",
                $"its stages make a text longer than {_limit} characters of one much shorter");
        int size = (int)Math.Min(Math.Max(minLength, _chars.Length * 2L), _limit);
        Array.Resize(ref _chars, size);
        if (_origins is not null) Array.Resize(ref _origins, size);
    }
}
