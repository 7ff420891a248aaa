using Ndif.Tokenizers.Unicode;

namespace Ndif.Tokenizers.Text.Oniguruma;

/// <summary>Reads a character class in brackets: ranges, classes in classes, intersections and POSIX brackets.</summary>
/// <remarks>kkos/oniguruma, doc/RE, section 6, and src/regparse.c, prs_cc</remarks>
internal static class BracketParser
{
    private const int MaxDepth = 50;

    /// <summary>Reads a class after its opening bracket.</summary>
    public static CharacterClass Read(PatternScanner scanner, bool ignoreCase, int depth = 0)
    {
        int start = scanner.Position - 1;
        if (depth > MaxDepth) throw PatternScanner.CreateException("the character classes are nested too deeply", start);
        bool isNegated = scanner.TrySkip("^");
        CharacterClass? intersection = null, union = null;
        bool isFirst = true;
        while (true)
        {
            if (scanner.IsAtEnd) throw PatternScanner.CreateException("the character class has no closing bracket", start);
            if (scanner.Current == ']' && !(isFirst && HasLaterBracket(scanner)))
            {
                scanner.Position++;
                break;
            }
            isFirst = false;
            if (scanner.TrySkip("&&"))
            {
                intersection = Intersect(intersection, union ?? new CharacterClass(CodePointSet.Empty));
                union = null;
                continue;
            }
            var item = ReadItem(scanner, ignoreCase, depth);
            union = union is null ? item : union.Union(item);
        }
        var result = Intersect(intersection, union ?? new CharacterClass(CodePointSet.Empty));
        if (ignoreCase && depth == 0) result = result.IgnoreCase(); // a class in a class is part of the whole
        return isNegated ? result.Negate() : result;
    }

    private static CharacterClass Intersect(CharacterClass? first, CharacterClass second) =>
        first is null ? second : first.Intersect(second);

    /// <summary>A bracket at the start of a class is a literal if another one closes the class.</summary>
    private static bool HasLaterBracket(PatternScanner scanner)
    {
        int position = scanner.Position;
        try
        {
            for (scanner.Position++; !scanner.IsAtEnd; scanner.Position++)
            {
                if (scanner.Current == ']') return true;
                if (scanner.Current == '\\') scanner.Position++;
            }
            return false;
        }
        finally
        {
            scanner.Position = position;
        }
    }

    private static CharacterClass ReadItem(PatternScanner scanner, bool ignoreCase, int depth)
    {
        int position = scanner.Position;
        if (scanner.StartsWith("[:") && TryReadPosix(scanner) is { } posix) return posix;
        if (scanner.TrySkip("[")) return Read(scanner, ignoreCase, depth + 1);
        if (!TryReadCodePoint(scanner, out int first, out var set)) return set!;
        if (!scanner.StartsWith("-") || scanner.StartsWith("-]") || scanner.StartsWith("-&&")) return CharacterClass.Of(first, first);

        int hyphen = scanner.Position++;
        if (scanner.StartsWith("[") || scanner.IsAtEnd)
        {
            scanner.Position = hyphen; // [a-[b]]: the hyphen is a literal
            return CharacterClass.Of(first, first);
        }
        if (!TryReadCodePoint(scanner, out int last, out var setAfterHyphen))
            return CharacterClass.Of(first, first).Union(CharacterClass.Of('-', '-')).Union(setAfterHyphen!);
        if (last < first) throw PatternScanner.CreateException("the range of a character class is empty", position);
        return CharacterClass.Of(first, last);
    }

    /// <summary>Reads a code point, or an escape sequence of a class.</summary>
    private static bool TryReadCodePoint(PatternScanner scanner, out int code, out CharacterClass? set)
    {
        set = null;
        code = scanner.Next();
        if (code != '\\') return true;
        int position = scanner.Position - 1;
        set = EscapeParser.TryReadClass(scanner);
        if (set is not null) return false;
        if (scanner.TrySkip("b")) code = '\b';
        else if (scanner.TrySkip("R") || scanner.TrySkip("X"))
            throw PatternScanner.NotSupported(@"\R or \X in a character class", position);
        else code = EscapeParser.ReadCodePoint(scanner);
        return true;
    }

    /// <summary>Reads <c>[:name:]</c>. Anything else that begins like it is a class in the class.</summary>
    private static CharacterClass? TryReadPosix(PatternScanner scanner)
    {
        int position = scanner.Position;
        scanner.Position += 2;
        bool isNegated = scanner.TrySkip("^");
        foreach (string name in (ReadOnlySpan<string>)["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print",
            "punct", "space", "upper", "xdigit", "word"])
        {
            if (!scanner.TrySkip(name + ":]")) continue;
            return CharacterClass.Property(name, UnicodeProperties.Find(name)!, isNegated);
        }
        scanner.Position = position;
        return null;
    }
}
