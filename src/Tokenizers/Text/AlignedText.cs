using System.Text;

namespace Ndif.Tokenizers.Text;

/// <summary>
/// A text that the stages rewrite. Each char has the range of the original text it came from, so that the offsets of a token remain
/// correct after every replacement.
/// </summary>
/// <remarks>
/// The counterpart of NormalizedString in huggingface/tokenizers, tokenizers/src/tokenizer/normalizer.rs, with UTF-16 in place of UTF-8.
/// </remarks>
internal sealed class AlignedText
{
    private readonly int _shift, _maxLength;
    private char[] _chars;
    private Origin[]? _origins; // null while char i comes from char _shift + i of the original, as for most prompts

    private AlignedText(int capacity, int shift, int maxLength)
    {
        _shift = shift;
        _maxLength = maxLength;
        _chars = new char[Math.Clamp(capacity, 16, maxLength)];
    }

    public int Length { get; private set; }

    public ReadOnlySpan<char> Chars => _chars.AsSpan(0, Length);

    /// <summary>Creates the text of a range of the original. A lone surrogate becomes U+FFFD, as in a conversion to UTF-8.</summary>
    public static AlignedText Of(ReadOnlySpan<char> original, TextSpan span)
    {
        // The stages of a file can lengthen a text. The limit prevents unbounded growth and allows the longest expansion in Unicode,
        // the compatibility decomposition of U+FDFA, which has 18 characters.
        int maxLength = (int)Math.Min(65_536 + 64L * span.Length, Array.MaxLength);
        var text = new AlignedText(span.Length, span.Start, maxLength);
        var chars = original[span.Start..span.End];
        int firstSurrogate = chars.IndexOfAnyInRange('\uD800', '\uDFFF');
        if (firstSurrogate < 0) firstSurrogate = chars.Length;
        chars[..firstSurrogate].CopyTo(text._chars);
        text.Length = firstSurrogate;
        for (int i = span.Start + firstSurrogate; i < span.End; i++)
        {
            char c = original[i];
            if (!char.IsSurrogate(c))
                text.Append(c, new Origin(i, i + 1));
            else if (char.IsHighSurrogate(c) && i + 1 < span.End && char.IsLowSurrogate(original[i + 1]))
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

    /// <summary>Creates an empty text to which a rewritten version of this text is appended.</summary>
    /// <param name="extraCapacity">The number of chars by which the rewritten text is expected to be longer.</param>
    public AlignedText Rewrite(int extraCapacity = 0) =>
        new(Length + extraCapacity, Length > 0 ? OriginAt(0).Start : _shift, _maxLength);

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

    /// <summary>Appends chars that have the same origin.</summary>
    public void Append(ReadOnlySpan<char> chars, Origin origin)
    {
        foreach (char c in chars) Append(c, origin);
    }

    /// <summary>Appends a range of another text with its origins.</summary>
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

    /// <summary>The range of the original text that a non-empty range of this text covers.</summary>
    public Origin Covering(int start, int end) => new(OriginAt(start).Start, OriginAt(end - 1).End);

    /// <summary>The rune that starts at an index. The text is always well-formed UTF-16.</summary>
    public Rune RuneAt(int index)
    {
        char c = _chars[index];
        return char.IsSurrogate(c) ? new Rune(c, _chars[index + 1]) : new Rune(c);
    }

    private bool IsNextOrigin(Origin origin) => origin.Start == _shift + Length && origin.End == origin.Start + 1;

    private void StoreOrigin(Origin origin)
    {
        if (_origins is null)
        {
            var origins = new Origin[_chars.Length];
            for (int i = 0; i < Length; i++) origins[i] = OriginAt(i);
            _origins = origins;
        }
        _origins[Length] = origin;
    }

    private void Grow(int minLength)
    {
        if (minLength > _maxLength)
            throw new TokenizerFormatException("tokenizer.json",
                $"its stages expand a much shorter text to more than {_maxLength} characters");
        int size = (int)Math.Min(Math.Max(minLength, _chars.Length * 2L), _maxLength);
        Array.Resize(ref _chars, size);
        if (_origins is not null) Array.Resize(ref _origins, size);
    }
}
