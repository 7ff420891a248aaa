namespace Ndif.Tokenizers.Tests.Differential;

/// <summary>Random regular expressions of Oniguruma's syntax.</summary>
internal sealed class RandomPattern(Random random)
{
    private static readonly string[] _atoms =
    [
        "a", "b", "the", "é", "中", "🙂", " ", @"\.", @"\s", @"\S", @"\w", @"\W", @"\d", @"\D", @"\h", ".", @"\p{L}", @"\P{L}", @"\p{N}",
        @"\p{Han}",
        @"\p{Lu}", @"\p{^Ll}", @"\p{Alpha}", @"\p{Cyrillic}", @"\R", @"\b", @"\B", "^", "$", @"\n", @"\x41", @"\x{E9}", @"\u0430", "'s",
        "ss",
    ];

    private static readonly string[] _members =
    [
        "a", "b-e", "A-Z", "é", "中", "🙂", " ", @"\s", @"\w", @"\d", @"\p{L}", @"\P{N}", @"\p{Greek}", "[:punct:]", "[:^alpha:]", "0-9",
        @"\-", @"\]", @"\[",
        @"\x{4E00}-\x{9FFF}", @"\h", "'", ".",
    ];

    private static readonly string[] _quantifiers = ["", "", "", "", "", "?", "*", "+", "??", "*?", "+?", "?+", "*+", "++", "{1,3}", "{2}",
    "{,2}", "{1,}", "{1,2}?"];

    public string Next() => Alternatives(0);

    private string Alternatives(int depth) =>
        string.Join('|', Enumerable.Range(0, random.Next(1, 3)).Select(_ => Sequence(depth)));

    private string Sequence(int depth) =>
        string.Concat(Enumerable.Range(0, random.Next(1, 4)).Select(_ => Atom(depth)));

    private string Atom(int depth)
    {
        int kind = random.Next(depth > 0 ? 6 : 9);
        if (kind >= 6 && random.Next(3) == 0)
            return $"({Pick(["?=", "?!", "?<=", "?<!"])}{Pick(_atoms[..13])})"; // a look-around
        string atom = kind switch
        {
            < 3 => Pick(_atoms),
            < 6 => Bracket(0),
            _ => $"({Pick(["?:", "?:", "", "?>", "?i:", "?m:", "?-i:"])}{Alternatives(depth + 1)})",
        };
        // A repeated group that holds quantifiers takes exponential time, at which the library ends the process.
        if (kind >= 6) return atom + Pick(["", "", "?"]);
        return atom is "^" or "$" or @"\b" or @"\B" ? atom : atom.Length > 1 && atom[0] is not ('\\' or '[' or '(')
            ? $"(?:{atom}){Pick(_quantifiers)}" : atom + Pick(_quantifiers);
    }

    private string Bracket(int depth)
    {
        string members = string.Concat(Enumerable.Range(0, random.Next(1, 4)).Select(_ => Member(depth)));
        if (random.Next(5) == 0) members += "&&" + string.Concat(Enumerable.Range(0, random.Next(1, 3)).Select(_ => Member(depth)));
        return $"[{(random.Next(3) == 0 ? "^" : "")}{members}]";
    }

    private string Member(int depth)
    {
        if (depth < 2 && random.Next(6) == 0) return Bracket(depth + 1);
        string member = Pick(_members);
        return member.StartsWith("[:", StringComparison.Ordinal) ? $"[{member[1..]}]" : member;
    }

    private string Pick(string[] choices) => choices[random.Next(choices.Length)];
}
