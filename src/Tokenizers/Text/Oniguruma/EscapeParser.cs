using Ndif.Tokenizers.Unicode;

namespace Ndif.Tokenizers.Text.Oniguruma;

/// <summary>Reads the escape sequences that stand for a code point or a class, inside and outside of brackets.</summary>
/// <remarks>kkos/oniguruma, doc/RE, sections 2 and 3</remarks>
internal static class EscapeParser
{
    /// <summary>
    /// Oniguruma's <c>\w</c> outside of brackets: it looks up the first 256 code points in a table in which superscript digits and
    /// fractions are word characters.
    /// </summary>
    /// <remarks>kkos/oniguruma, src/unicode.c, ENC_UNICODE_ISO_8859_1_CtypeTable</remarks>
    public static CharacterClass Word { get; } = new(UnicodeProperties.Find("word")!.Union(CodePointSet.Of(
        "\u00B2\u00B3\u00B9\u00BC\u00BD\u00BE".Select(c => ((int)c, (int)c)))));

    /// <summary>Reads a class after the backslash, such as <c>d</c> or <c>p{Han}</c>, or returns null if there is none.</summary>
    public static CharacterClass? TryReadClass(PatternScanner scanner)
    {
        if (scanner.IsAtEnd) throw scanner.CreateException("it ends with a lone backslash");
        char c = scanner.Current;
        CharacterClass? found = c switch
        {
            'd' or 'D' => CharacterClass.Shorthand(@"\d", "digit", c == 'D'),
            's' or 'S' => CharacterClass.Shorthand(@"\s", "space", c == 'S'),
            'w' or 'W' => CharacterClass.Property("word", UnicodeProperties.Find("word")!, c == 'W'),
            'h' or 'H' => CharacterClass.Property("xdigit", UnicodeProperties.Find("xdigit")!, c == 'H'),
            _ => null,
        };
        if (found is not null) scanner.Position++;
        return found ?? (c is 'p' or 'P' ? TryReadProperty(scanner) : null);
    }

    /// <summary>Reads a code point after the backslash.</summary>
    public static int ReadCodePoint(PatternScanner scanner)
    {
        int position = scanner.Position - 1;
        int c = scanner.Next();
        switch (c)
        {
            case 't': return '\t';
            case 'n': return '\n';
            case 'r': return '\r';
            case 'f': return '\f';
            case 'v': return '\v';
            case 'a': return '\a';
            case 'e': return 0x1B;
            case 'x' when scanner.TrySkip("{"):
                int code = scanner.Digits(16, 8) ?? throw PatternScanner.CreateException(@"\x{ needs hexadecimal digits", position);
                if (!scanner.TrySkip("}")) throw PatternScanner.NotSupported(@"a sequence of code points in \x{}", position);
                return CheckScalar(code, position);
            case 'x':
                return CheckByte(scanner.Digits(16, 2) ?? 0, position);
            case 'u':
                int start = scanner.Position;
                int? unit = scanner.Digits(16, 4);
                if (scanner.Position - start != 4) throw PatternScanner.CreateException(@"\u needs four hexadecimal digits", position);
                return CheckScalar(unit!.Value, position);
            case 'o' when scanner.TrySkip("{"):
                int octal = scanner.Digits(8, 11) ?? throw PatternScanner.CreateException(@"\o{ needs octal digits", position);
                if (!scanner.TrySkip("}")) throw PatternScanner.NotSupported(@"a sequence of code points in \o{}", position);
                return CheckScalar(octal, position);
            case >= '0' and <= '7':
                scanner.Position--;
                return CheckByte(scanner.Digits(8, 3)!.Value, position);
            case 'c' or 'C' when c == 'c' || scanner.TrySkip("-"):
                int control = scanner.Next();
                if (control == '\\') control = ReadCodePoint(scanner);
                return control == '?' ? 0x7F : control & 0x9F;
            case 'M' when scanner.StartsWith("-"):
                throw PatternScanner.NotSupported(@"\M-", position);
            default:
                return c;
        }
    }

    private static CharacterClass? TryReadProperty(PatternScanner scanner)
    {
        int position = scanner.Position - 1;
        bool negated = scanner.Current == 'P';
        scanner.Position++;
        string name;
        if (scanner.TrySkip("{"))
        {
            if (scanner.TrySkip("^")) negated = !negated;
            name = scanner.Until('}', "the property");
        }
        else if (!scanner.IsAtEnd && "CLMNPSZ".Contains(scanner.Current))
            name = ((char)scanner.Next()).ToString();
        else
        {
            scanner.Position--; // a plain p
            return null;
        }
        var set = UnicodeProperties.Find(name) ?? throw PatternScanner.CreateException($"the property '{name}' is unknown", position);
        return CharacterClass.Property(name, set, negated);
    }

    private static int CheckScalar(int code, int position) => code is < 0xD800 or > 0xDFFF ? code
        : throw PatternScanner.CreateException("a surrogate is no character", position);

    private static int CheckByte(int code, int position) =>
        code < 0x80 ? code : throw PatternScanner.NotSupported("a byte of a UTF-8 sequence", position);
}
