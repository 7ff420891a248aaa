using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>
/// SentencePiece's precompiled character map: a double-array trie (Darts) of UTF-8 strings, followed by the replacements.
/// </summary>
/// <remarks>
/// As in Hugging Face tokenizers (tokenizers/src/normalizers/precompiled.rs), a grapheme of fewer than six bytes is looked up as a whole
/// first, then rune by rune, and the <i>shortest</i> entry that is a prefix of the bytes is used. SentencePiece uses the longest, but
/// the results of published models depend on this choice.
/// </remarks>
internal sealed class PrecompiledNormalizer(uint[] trie, byte[] replacements) : INormalizer
{
    public static PrecompiledNormalizer Read(JsonSection section)
    {
        byte[] bytes;
        try
        {
            bytes = Convert.FromBase64String(section.String());
        }
        catch (FormatException e)
        {
            throw new TokenizerFormatException(section.Path, "the map is not valid base64", e);
        }
        if (bytes.Length < 4) throw section.CreateException("the map is shorter than its header");
        uint size = BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        if (size % 4 != 0 || size == 0 || size > bytes.Length - 4)
            throw section.CreateException($"the map says its trie has {size} bytes, but {bytes.Length - 4} follow");
        uint[] trie = new uint[size / 4];
        for (int i = 0; i < trie.Length; i++) trie[i] = BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(4 + i * 4));
        return new PrecompiledNormalizer(trie, bytes[(4 + (int)size)..]);
    }

    public AlignedText Normalize(AlignedText text)
    {
        var changes = new List<RuneChange>(text.Length);
        bool changed = false;
        Span<char> runeChars = stackalloc char[2];
        for (int i = 0; i < text.Length;)
        {
            var grapheme = text.Chars[i..(i + StringInfo.GetNextTextElementLength(text.Chars[i..]))];
            i += grapheme.Length;
            if (Encoding.UTF8.GetByteCount(grapheme) < 6 && Find(grapheme) is { } graphemeReplacement)
            {
                changed = true;
                Replace(grapheme, graphemeReplacement, changes);
                continue;
            }
            foreach (var rune in grapheme.EnumerateRunes())
            {
                var single = runeChars[..rune.EncodeToUtf16(runeChars)];
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

    /// <summary>
    /// Appends the changes for a replacement. If it is longer than the old text, its last runes are insertions; if it is shorter, its
    /// last rune removes the remaining old runes.
    /// </summary>
    private static void Replace(ReadOnlySpan<char> old, string replacement, List<RuneChange> changes)
    {
        int first = changes.Count;
        foreach (var rune in replacement.EnumerateRunes()) changes.Add(new RuneChange(rune, 0));
        int oldCount = 0;
        foreach (var _ in old.EnumerateRunes()) oldCount++;
        int difference = changes.Count - first - oldCount;
        for (int i = 0; i < difference; i++) changes[changes.Count - 1 - i] = changes[changes.Count - 1 - i] with { Change = 1 };
        if (difference < 0 && changes.Count > 0) changes[^1] = changes[^1] with { Change = changes[^1].Change + difference };
    }

    /// <summary>Looks up a text in the trie. The layout of a unit is that of darts-clone, DoubleArrayUnit.</summary>
    private string? Find(ReadOnlySpan<char> text)
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

    private static uint Offset(uint unit) => unit >> 10 << (int)((unit & 0x200) >> 6);

    private string? ReplacementAt(uint start)
    {
        if (start >= replacements.Length) return null;
        var utf8 = replacements.AsSpan((int)start);
        int end = utf8.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? utf8 : utf8[..end]);
    }
}
