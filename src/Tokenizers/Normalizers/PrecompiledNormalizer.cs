using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>
/// SentencePiece's precompiled character map: a double-array trie (Darts) of byte strings, then the replacements.
/// </summary>
/// <remarks>
/// Like Hugging Face's, it asks for a whole grapheme of less than six bytes first and for its runes after that, and it takes the
/// <i>shortest</i> entry that the bytes begin with: odd, but what the published models were judged with (precompiled.rs).
/// </remarks>
internal sealed class PrecompiledNormalizer(uint[] trie, byte[] replacements) : INormalizer
{
    public static PrecompiledNormalizer Read(JsonPart part)
    {
        byte[] bytes;
        try
        {
            bytes = Convert.FromBase64String(part.String());
        }
        catch (FormatException e)
        {
            throw new TokenizerFormatException(part.Path, "the map is not valid base64", e);
        }
        if (bytes.Length < 4) throw part.CreateException("the map is shorter than its header");
        uint size = BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        if (size % 4 != 0 || size == 0 || size > bytes.Length - 4)
            throw part.CreateException($"the map says its trie has {size} bytes, but {bytes.Length - 4} follow");
        uint[] trie = new uint[size / 4];
        for (int i = 0; i < trie.Length; i++) trie[i] = BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(4 + i * 4));
        return new PrecompiledNormalizer(trie, bytes[(4 + (int)size)..]);
    }

    public AlignedText Normalize(AlignedText text)
    {
        var changes = new List<RuneChange>(text.Length);
        bool changed = false;
        Span<char> pair = stackalloc char[2];
        for (int i = 0; i < text.Length;)
        {
            var grapheme = text.Chars[i..(i + StringInfo.GetNextTextElementLength(text.Chars[i..]))];
            i += grapheme.Length;
            if (Encoding.UTF8.GetByteCount(grapheme) < 6 && Find(grapheme) is { } whole)
            {
                changed = true;
                Replace(grapheme, whole, changes);
                continue;
            }
            foreach (var rune in grapheme.EnumerateRunes())
            {
                var single = pair[..rune.EncodeToUtf16(pair)];
                if (Find(single) is { } replacement)
                {
                    changed = true;
                    Replace(single, replacement, changes);
                }
                else
                    changes.Add(new RuneChange(rune, 0));
            }
        }
        return changed ? RuneChange.Apply(text, changes) : text;
    }

    /// <summary>The last runes of a longer replacement are inserted; the last of a shorter one removes the rest.</summary>
    static void Replace(ReadOnlySpan<char> old, string replacement, List<RuneChange> changes)
    {
        int first = changes.Count;
        foreach (var rune in replacement.EnumerateRunes()) changes.Add(new RuneChange(rune, 0));
        int count = 0;
        foreach (var _ in old.EnumerateRunes()) count++;
        int difference = changes.Count - first - count;
        for (int i = 0; i < difference; i++) changes[changes.Count - 1 - i] = changes[changes.Count - 1 - i] with { Change = 1 };
        if (difference < 0 && changes.Count > 0) changes[^1] = changes[^1] with { Change = changes[^1].Change + difference };
    }

    string? Find(ReadOnlySpan<char> text)
    {
        Span<byte> utf8 = stackalloc byte[Encoding.UTF8.GetMaxByteCount(text.Length)];
        utf8 = utf8[..Encoding.UTF8.GetBytes(text, utf8)];
        uint node = Offset(trie[0]);
        foreach (byte b in utf8)
        {
            if (b == 0) break;
            node ^= b;
            if (node >= trie.Length) return null;
            uint unit = trie[node];
            if ((unit & 0x8000_00FF) != b) return null;
            node ^= Offset(unit);
            if (node >= trie.Length) return null;
            if ((unit >> 8 & 1) == 1) return ReplacementAt(trie[node] & 0x7FFF_FFFF);
        }
        return null;
    }

    static uint Offset(uint unit) => unit >> 10 << (int)((unit & 0x200) >> 6);

    string? ReplacementAt(uint start)
    {
        if (start >= replacements.Length) return null;
        var rest = replacements.AsSpan((int)start);
        int end = rest.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? rest : rest[..end]);
    }
}
