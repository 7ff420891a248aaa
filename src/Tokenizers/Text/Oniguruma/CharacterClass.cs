using System.Globalization;
using System.Text;
using Ndif.Tokenizers.Unicode;

namespace Ndif.Tokenizers.Text.Oniguruma;

/// <summary>A set of code points of a pattern, and how .NET writes it.</summary>
/// <param name="Set">The code points.</param>
/// <param name="DotNetBody">
/// The content of .NET's brackets for the chars of the basic multilingual plane, or null if it is written as ranges.
/// </param>
/// <param name="IsNegated">True if <paramref name="DotNetBody"/> names the chars that are not in the set.</param>
internal sealed record CharacterClass(CodePointSet Set, string? DotNetBody = null, bool IsNegated = false)
{
    public static CharacterClass Any { get; } = new(CodePointSet.All, @"\0-\uFFFF");

    public static CharacterClass AnyExceptNewline { get; } = new(CodePointSet.Of('\n').Complement(), @"\n", IsNegated: true);

    public static CharacterClass Of(int first, int last) =>
        new(CodePointSet.Of([(first, last)]), first > 0xFFFF ? "" : WriteRange(first, Math.Min(last, 0xFFFF)));

    public static CharacterClass Property(string name, CodePointSet set, bool negated) =>
        new(negated ? set.Complement() : set,
            UnicodeProperties.FindDotNetCategory(name) is { } category ? $@"\p{{{category}}}" : null, negated);

    /// <summary><c>\d</c>, <c>\s</c> and their negations.</summary>
    public static CharacterClass Shorthand(string dotNet, string property, bool negated)
    {
        var set = UnicodeProperties.Find(property)!;
        return new(negated ? set.Complement() : set, dotNet, negated);
    }

    public CharacterClass Negate() => this with { Set = Set.Complement(), IsNegated = !IsNegated };

    public CharacterClass Union(CharacterClass other) => new(Set.Union(other.Set),
        DotNetBody is not null && other.DotNetBody is not null && !IsNegated && !other.IsNegated ? DotNetBody + other.DotNetBody : null);

    public CharacterClass Intersect(CharacterClass other) => new(Set.Intersect(other.Set));

    public CharacterClass IgnoreCase()
    {
        var closed = CaseFolding.Close(Set);
        return closed.Ranges.SequenceEqual(Set.Ranges) ? this : new CharacterClass(closed);
    }

    /// <summary>Writes the class in .NET's syntax.</summary>
    /// <param name="substitutes">The chars that stand for code points beyond the basic multilingual plane; null if there are none.</param>
    public string Write(SubstituteTable? substitutes)
    {
        var text = new StringBuilder();
        if (DotNetBody is not null) text.Append(DotNetBody);
        else
            foreach (var (first, last) in Set.Ranges.Where(range => range.First <= 0xFFFF))
                text.Append(WriteRange(first, Math.Min(last, 0xFFFF)));
        bool isNegated = DotNetBody is not null && IsNegated;
        if (substitutes is not null)
            foreach (var (representative, substitute) in substitutes.Substitutes)
                if (Set.Contains(representative) != isNegated) text.Append(WriteChar(substitute));
        if (text.Length == 0) return isNegated ? @"[\s\S]" : "(?!)";
        return $"[{(isNegated ? "^" : "")}{text}]";
    }

    /// <summary>Writes a code point of the basic multilingual plane, inside or outside of brackets.</summary>
    public static string WriteChar(int code) =>
        code < 0x80 && (char.IsAsciiLetterOrDigit((char)code) || "_'\"<>/=!@%&;:,~`".Contains((char)code))
        ? ((char)code).ToString() : string.Create(CultureInfo.InvariantCulture, $"\\u{code:X4}");

    private static string WriteRange(int first, int last) =>
        first == last ? WriteChar(first) : $"{WriteChar(first)}-{WriteChar(last)}";
}
