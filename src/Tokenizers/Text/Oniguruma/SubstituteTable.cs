using Ndif.Tokenizers.Unicode;

namespace Ndif.Tokenizers.Text.Oniguruma;

/// <summary>
/// The chars that stand for code points beyond the basic multilingual plane while .NET, which matches UTF-16 code units, searches a text.
/// Code points that belong to the same classes of a pattern have the same substitute. The substitutes are lone surrogates, which no
/// well-formed text contains.
/// </summary>
internal sealed class SubstituteTable
{
    private const int FirstCode = 0x10000, MaxSubstitutes = 0x800;

    private readonly int[] _starts;
    private readonly char[] _chars;

    /// <exception cref="FormatException">The pattern has too many classes.</exception>
    public SubstituteTable(IReadOnlyList<CharacterClass> classes)
    {
        // The code points between two boundaries belong to the same classes.
        SortedSet<int> boundaries = [FirstCode];
        foreach (var (first, last) in classes.SelectMany(set => set.Set.Ranges).Where(range => range.Last >= FirstCode))
        {
            if (first > FirstCode) boundaries.Add(first);
            if (last < 0x10FFFF) boundaries.Add(last + 1);
        }
        _starts = [.. boundaries];
        _chars = new char[_starts.Length];
        var byMembership = new Dictionary<string, char>(StringComparer.Ordinal);
        for (int i = 0; i < _starts.Length; i++)
        {
            string membership = string.Concat(classes.Select(set => set.Set.Contains(_starts[i]) ? '1' : '0'));
            if (!byMembership.TryGetValue(membership, out char substitute))
            {
                if (byMembership.Count == MaxSubstitutes) throw new FormatException("it has too many different character classes");
                byMembership[membership] = substitute = (char)(0xD800 + byMembership.Count);
                Substitutes.Add((_starts[i], substitute));
            }
            _chars[i] = substitute;
        }
    }

    /// <summary>A code point of each kind and the char that stands for it.</summary>
    public List<(int Representative, char Substitute)> Substitutes { get; } = [];

    /// <summary>Returns a text with one char per code point, and the position in the text of each char and of the end.</summary>
    public (char[] Chars, int[] Positions) Substitute(ReadOnlySpan<char> text)
    {
        var chars = new List<char>(text.Length);
        var positions = new List<int>(text.Length + 1);
        int position = 0;
        foreach (var rune in text.EnumerateRunes())
        {
            chars.Add(rune.IsBmp ? (char)rune.Value : SubstituteOf(rune.Value));
            positions.Add(position);
            position += rune.Utf16SequenceLength;
        }
        positions.Add(position);
        return ([.. chars], [.. positions]);
    }

    private char SubstituteOf(int code)
    {
        int index = Array.BinarySearch(_starts, code);
        return _chars[index >= 0 ? index : ~index - 1];
    }
}
