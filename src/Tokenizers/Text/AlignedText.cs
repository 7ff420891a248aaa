using System.Text;

namespace Ndif.Tokenizers.Text;

/// <summary>
/// Text on its way through the stages: each char knows the range of the original it came from,
/// so that a token's offsets survive every replacement. (Hugging Face's NormalizedString, in UTF-16.)
/// </summary>
internal sealed class AlignedText(int capacity)
{
    char[] _chars = new char[Math.Max(capacity, 16)];
    Origin[] _origins = new Origin[Math.Max(capacity, 16)];

    public int Length { get; private set; }

    public ReadOnlySpan<char> Chars => _chars.AsSpan(0, Length);

    public ReadOnlySpan<Origin> Origins => _origins.AsSpan(0, Length);

    /// <summary>A part of the original text; a lone surrogate becomes U+FFFD, as in UTF-8.</summary>
    public static AlignedText Of(ReadOnlySpan<char> original, Span part)
    {
        var text = new AlignedText(part.Length);
        for (int i = part.Start; i < part.End; i++)
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

    public void Append(char c, Origin origin)
    {
        if (Length == _chars.Length) Grow(Length + 1);
        _chars[Length] = c;
        _origins[Length++] = origin;
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
        if (Length + chars.Length > _chars.Length) Grow(Length + chars.Length);
        chars.CopyTo(_chars.AsSpan(Length));
        _origins.AsSpan(Length, chars.Length).Fill(origin);
        Length += chars.Length;
    }

    /// <summary>Appends a part of another text, origins included.</summary>
    public void Append(AlignedText source, int start, int end)
    {
        int count = end - start;
        if (Length + count > _chars.Length) Grow(Length + count);
        source._chars.AsSpan(start, count).CopyTo(_chars.AsSpan(Length));
        source._origins.AsSpan(start, count).CopyTo(_origins.AsSpan(Length));
        Length += count;
    }

    /// <summary>The range of the original that a non-empty part of this text covers.</summary>
    public Origin Covering(int start, int end) => new(_origins[start].Start, _origins[end - 1].End);

    /// <summary>The rune at a position; what is held is always well-formed UTF-16.</summary>
    public Rune RuneAt(int index)
    {
        char c = _chars[index];
        return char.IsSurrogate(c) ? new Rune(c, _chars[index + 1]) : new Rune(c);
    }

    void Grow(int least)
    {
        int size = Math.Max(least, (int)Math.Min(_chars.Length * 2L, Array.MaxLength));
        Array.Resize(ref _chars, size);
        Array.Resize(ref _origins, size);
    }
}
