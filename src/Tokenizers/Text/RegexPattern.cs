using System.Text.RegularExpressions;

namespace Ndif.Tokenizers.Text;

/// <summary>
/// Matches a regular expression of the tokenizer file. The file is not trusted, so each search has a time limit against patterns that
/// backtrack excessively.
/// </summary>
internal sealed class RegexPattern : IPattern
{
    private const int MaxPatternLength = 65_536;

    /// <summary>The time limit of one match. The patterns of published tokenizers take microseconds.</summary>
    private static readonly TimeSpan _matchTimeout = TimeSpan.FromSeconds(1);

    private readonly Regex _regex;
    private readonly string _jsonPath;
    private readonly bool _containsSurrogates;

    /// <exception cref="TokenizerFormatException">The pattern cannot be read.</exception>
    public RegexPattern(string pattern, string jsonPath)
    {
        _jsonPath = jsonPath;
        if (pattern.Length > MaxPatternLength)
            throw new TokenizerFormatException(jsonPath, $"the pattern has {pattern.Length} characters; the limit is {MaxPatternLength}");
        // A pattern that contains surrogate pairs must see the pairs of the text, not their substitutes.
        _containsSurrogates = pattern.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') >= 0;
        try
        {
            // Multiline: in Oniguruma's Ruby syntax, ^ and $ always match at line boundaries.
            _regex = new Regex(RegexDialect.Translate(pattern),
                RegexOptions.Compiled | RegexOptions.CultureInvariant | RegexOptions.Multiline, _matchTimeout);
        }
        catch (Exception e) when (e is ArgumentException or FormatException)
        {
            throw new TokenizerFormatException(jsonPath, $"the regular expression cannot be used: {e.Message}", e);
        }
    }

    /// <summary>Creates a pattern from a built-in regular expression, which needs no time limit per match.</summary>
    public RegexPattern(Regex regex)
    {
        _regex = regex;
        _jsonPath = "built-in pattern";
    }

    public void FindMatches(ReadOnlySpan<char> text, List<PatternMatch> matches)
    {
        if (_containsSurrogates || text.IndexOfAnyInRange('\uD800', '\uDFFF') < 0)
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

    /// <summary>The time limit of a whole text in milliseconds: five seconds plus one second per hundred thousand chars.</summary>
    private static long GetTotalTimeout(int length) => 5_000 + length / 100;

    private void Find(ReadOnlySpan<char> text, List<PatternMatch> matches)
    {
        long deadline = Environment.TickCount64 + GetTotalTimeout(text.Length);
        int previousEnd = 0;
        try
        {
            foreach (var match in _regex.EnumerateMatches(text))
            {
                int end = match.Index + match.Length;
                if (previousEnd < match.Index) matches.Add(new PatternMatch(previousEnd, match.Index, false));
                matches.Add(new PatternMatch(match.Index, end, true));
                previousEnd = end;
                if (Environment.TickCount64 > deadline) throw new RegexMatchTimeoutException();
            }
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new TokenizerFormatException(_jsonPath, $"the regular expression took too long on a text of {text.Length} characters", e);
        }
        if (previousEnd < text.Length) matches.Add(new PatternMatch(previousEnd, text.Length, false));
    }
}
