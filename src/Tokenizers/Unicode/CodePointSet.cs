namespace Ndif.Tokenizers.Unicode;

/// <summary>A set of code points: sorted ranges that neither overlap nor touch. Surrogates are never members.</summary>
internal sealed class CodePointSet
{
    private const int Last = 0x10FFFF;

    private CodePointSet((int First, int Last)[] ranges) => Ranges = ranges;

    public static CodePointSet Empty { get; } = new([]);

    public static CodePointSet All { get; } = Of([(0, Last)]);

    public (int First, int Last)[] Ranges { get; }

    /// <summary>Creates the set of ranges, which can be in any order and overlap.</summary>
    public static CodePointSet Of(IEnumerable<(int First, int Last)> ranges)
    {
        var result = new List<(int First, int Last)>();
        foreach (var (first, last) in ranges.SelectMany(WithoutSurrogates).OrderBy(range => range.First))
        {
            if (result.Count > 0 && first <= result[^1].Last + 1)
                result[^1] = (result[^1].First, Math.Max(result[^1].Last, last));
            else
                result.Add((first, last));
        }
        return new CodePointSet([.. result]);
    }

    public static CodePointSet Of(int codePoint) => Of([(codePoint, codePoint)]);

    /// <summary>Creates the set of code points for which a predicate is true.</summary>
    public static CodePointSet Where(Func<int, bool> isMember)
    {
        var ranges = new List<(int, int)>();
        int first = -1;
        for (int c = 0; c <= Last + 1; c++)
        {
            bool isIn = c <= Last && c is < 0xD800 or > 0xDFFF && isMember(c);
            if (isIn && first < 0) first = c;
            if (!isIn && first >= 0)
            {
                ranges.Add((first, c - 1));
                first = -1;
            }
        }
        return Of(ranges);
    }

    public CodePointSet Union(CodePointSet other) => Of([.. Ranges, .. other.Ranges]);

    public CodePointSet Intersect(CodePointSet other) => Complement().Union(other.Complement()).Complement();

    public CodePointSet Complement()
    {
        var ranges = new List<(int, int)>();
        int next = 0;
        foreach (var (first, last) in Ranges)
        {
            if (next < first) ranges.Add((next, first - 1));
            next = last + 1;
        }
        if (next <= Last) ranges.Add((next, Last));
        return Of(ranges);
    }

    public bool Contains(int codePoint)
    {
        int low = 0, high = Ranges.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            if (codePoint < Ranges[middle].First) high = middle - 1;
            else if (codePoint > Ranges[middle].Last) low = middle + 1;
            else return true;
        }
        return false;
    }

    private static IEnumerable<(int First, int Last)> WithoutSurrogates((int First, int Last) range)
    {
        if (range.Last < 0xD800 || range.First > 0xDFFF) return [range];
        (int First, int Last)[] parts = [(range.First, 0xD7FF), (0xE000, range.Last)];
        return parts.Where(part => part.First <= part.Last);
    }
}
