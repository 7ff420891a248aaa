using System.Text.RegularExpressions;

namespace Ndif.Tokenizers.Text;

/// <summary>Matches a regular expression of the tokenizer file, which is not trusted to be fast: each search has a time-out.</summary>
internal sealed class RegexPattern : IPattern
{
    const int MaxPatternLength = 65_536;

    /// <summary>For one match; an honest pattern takes microseconds.</summary>
    static readonly TimeSpan MatchTimeout = TimeSpan.FromSeconds(1);

    /// <summary>For a whole text: five seconds and one more per hundred thousand chars.</summary>
    static long TotalTimeoutMilliseconds(int length) => 5_000 + length / 100;

    readonly Regex _regex;
    readonly string _jsonPath;
    readonly bool _namesSurrogates;

    /// <exception cref="TokenizerFormatException">The pattern cannot be read.</exception>
    public RegexPattern(string pattern, string jsonPath)
    {
        _jsonPath = jsonPath;
        if (pattern.Length > MaxPatternLength)
            throw new TokenizerFormatException(jsonPath, $"the pattern has {pattern.Length} characters; the limit is {MaxPatternLength}");
        // a pattern that spells out pairs must see the text as it is
        _namesSurrogates = pattern.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') >= 0;
        try
        {
            // Multiline: in Oniguruma's Ruby syntax ^ and $ always match at line ends
            _regex = new Regex(RegexDialect.Translate(pattern),
                RegexOptions.Compiled | RegexOptions.CultureInvariant | RegexOptions.Multiline, MatchTimeout);
        }
        catch (Exception e) when (e is ArgumentException or FormatException)
        {
            throw new TokenizerFormatException(jsonPath, $"the regular expression cannot be used: {e.Message}", e);
        }
    }

    /// <summary>A pattern of our own, known to be fast.</summary>
    public RegexPattern(Regex regex)
    {
        _regex = regex;
        _jsonPath = "built-in pattern";
    }

    public void FindMatches(ReadOnlySpan<char> text, List<PatternMatch> matches)
    {
        if (_namesSurrogates || text.IndexOfAnyInRange('\uD800', '\uDFFF') < 0)
        {
            Find(text, matches);
            return;
        }
        int first = matches.Count;
        var (chars, positions) = SupplementaryRuneSubstitution.Substitute(text);
        Find(chars, matches);
        for (int i = first; i < matches.Count; i++)
            matches[i] = matches[i] with { Start = positions[matches[i].Start], End = positions[matches[i].End] };
    }

    void Find(ReadOnlySpan<char> text, List<PatternMatch> matches)
    {
        long deadline = Environment.TickCount64 + TotalTimeoutMilliseconds(text.Length);
        int rest = 0;
        try
        {
            foreach (var match in _regex.EnumerateMatches(text))
            {
                int end = match.Index + match.Length;
                if (rest < match.Index) matches.Add(new PatternMatch(rest, match.Index, false));
                matches.Add(new PatternMatch(match.Index, end, true));
                rest = end;
                if (Environment.TickCount64 > deadline) throw new RegexMatchTimeoutException();
            }
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new TokenizerFormatException(_jsonPath, $"the regular expression took too long on a text of {text.Length} characters", e);
        }
        if (rest < text.Length) matches.Add(new PatternMatch(rest, text.Length, false));
    }
}
