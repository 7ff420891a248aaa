using System.Text.RegularExpressions;
using Ndif.Tokenizers.Text.Oniguruma;

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

    private readonly Regex _regex; // for texts of the basic multilingual plane
    private readonly Lazy<(Regex Regex, SubstituteTable Substitutes)> _withSubstitutes;
    private readonly string _jsonPath;

    /// <exception cref="TokenizerFormatException">The pattern cannot be read.</exception>
    public RegexPattern(string pattern, string jsonPath)
    {
        _jsonPath = jsonPath;
        if (pattern.Length > MaxPatternLength)
            throw new TokenizerFormatException(jsonPath, $"the pattern has {pattern.Length} characters; the limit is {MaxPatternLength}");
        var translated = Try(() => PatternParser.Parse(pattern));
        _regex = Compile(translated, null);
        _withSubstitutes = new(() => CompileWithSubstitutes(translated));
    }

    /// <summary>Creates a pattern from a built-in regular expression and its Oniguruma form, which are equal for most texts.</summary>
    public RegexPattern(Regex regex, string pattern)
    {
        _regex = regex;
        _jsonPath = "built-in pattern";
        _withSubstitutes = new(() => CompileWithSubstitutes(PatternParser.Parse(pattern)));
    }

    public void FindMatches(ReadOnlySpan<char> text, List<PatternMatch> matches)
    {
        if (text.IndexOfAnyInRange('\uD800', '\uDFFF') < 0)
        {
            Find(_regex, text, matches);
            return;
        }
        int first = matches.Count;
        var (regex, substitutes) = _withSubstitutes.Value;
        var (chars, positions) = substitutes.Substitute(text);
        Find(regex, chars, matches);
        for (int i = first; i < matches.Count; i++)
            matches[i] = matches[i] with { Start = positions[matches[i].Start], End = positions[matches[i].End] };
    }

    /// <summary>The time limit of a whole text in milliseconds: five seconds plus one second per hundred thousand chars.</summary>
    private static long GetTotalTimeout(int length) => 5_000 + length / 100;

    private Regex Compile(TranslatedPattern pattern, SubstituteTable? substitutes) => Try(() =>
        new Regex(pattern.Write(substitutes), RegexOptions.Compiled | RegexOptions.CultureInvariant, _matchTimeout));

    private (Regex Regex, SubstituteTable Substitutes) CompileWithSubstitutes(TranslatedPattern pattern)
    {
        var substitutes = Try(pattern.CreateSubstitutes);
        return (Compile(pattern, substitutes), substitutes);
    }

    private T Try<T>(Func<T> create)
    {
        try
        {
            return create();
        }
        catch (Exception e) when (e is ArgumentException or FormatException)
        {
            throw new TokenizerFormatException(_jsonPath, $"the regular expression cannot be used: {e.Message}", e);
        }
    }

    private void Find(Regex regex, ReadOnlySpan<char> text, List<PatternMatch> matches)
    {
        long deadline = Environment.TickCount64 + GetTotalTimeout(text.Length);
        int previousEnd = 0;
        bool hasMatch = false;
        try
        {
            foreach (var match in regex.EnumerateMatches(text))
            {
                int end = match.Index + match.Length;
                // The Rust binding of Oniguruma skips an empty match that follows a match immediately.
                if (match.Length == 0 && hasMatch && match.Index == previousEnd) continue;
                if (previousEnd < match.Index) matches.Add(new PatternMatch(previousEnd, match.Index, false));
                matches.Add(new PatternMatch(match.Index, end, true));
                previousEnd = end;
                hasMatch = true;
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
