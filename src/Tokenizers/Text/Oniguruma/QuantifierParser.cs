namespace Ndif.Tokenizers.Text.Oniguruma;

/// <summary>Reads a quantifier.</summary>
/// <remarks>kkos/oniguruma, doc/RE, section 4</remarks>
internal static class QuantifierParser
{
    private const int MaxRepetitions = 100_000;

    /// <summary>Reads a quantifier, or returns null if there is none.</summary>
    public static Quantifier? Read(PatternScanner scanner)
    {
        if (scanner.IsAtEnd) return null;
        if (scanner.Current == '{') return ReadInterval(scanner);
        if (scanner.Current is not ('*' or '+' or '?')) return null;
        int c = scanner.Next();
        bool isReluctant = scanner.TrySkip("?");
        return new Quantifier(c == '+' ? 1 : 0, c == '?' ? 1 : null, isReluctant, IsPossessive: !isReluctant && scanner.TrySkip("+"));
    }

    /// <summary>Reads <c>{n,m}</c>. Braces that hold no interval are literals.</summary>
    private static Quantifier? ReadInterval(PatternScanner scanner)
    {
        int start = scanner.Position++;
        int? min = scanner.Digits(10, 7);
        bool hasComma = scanner.TrySkip(",");
        int? max = hasComma ? scanner.Digits(10, 7) : min;
        if (!scanner.TrySkip("}") || (min is null && max is null))
        {
            scanner.Position = start;
            return null;
        }
        if (min > MaxRepetitions || max > MaxRepetitions)
            throw PatternScanner.CreateException($"the number of repetitions is larger than {MaxRepetitions}", start);
        if (max < min) return new Quantifier(max.Value, min, IsReluctant: false, IsPossessive: true);
        // {n}? is an optional {n}, and {n,m}+ repeats {n,m}: neither suffix belongs to the interval.
        return new Quantifier(min ?? 0, max, IsReluctant: hasComma && scanner.TrySkip("?"), IsPossessive: false);
    }
}
