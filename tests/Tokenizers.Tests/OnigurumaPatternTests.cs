using Ndif.Tokenizers.Text;
using Ndif.Tokenizers.Text.Oniguruma;

namespace Ndif.Tokenizers.Tests;

public sealed class OnigurumaPatternTests
{
    [Theory]
    [InlineData(@" ?[^(\s|[.,!?…。，、।۔،])]+", "Hi, (you) there.", "Hi|, (|you|)| there|.")]
    [InlineData(@"\p{Han}+", "ab漢字𠀀c", "ab|漢字𠀀|c")]
    [InlineData(@"[\p{L}&&[^\p{Han}]]+", "ab漢c", "ab|漢|c")]
    [InlineData("[[:alpha:]]+", "é1a", "é|1|a")]
    [InlineData(@"\p{L}++|.", "ab1", "ab|1")]
    [InlineData(@"a{,2}b", "aaab", "a|aab")]
    [InlineData(@"a{1,2}+b", "aaab", "aaab")]
    [InlineData(@"(?i:'ll)", "I'LL", "I|'LL")]
    [InlineData(@"(?i)straße", "x STRASSE", "x |STRASSE")]
    [InlineData(@"x{", "ax{b", "a|x{|b")]
    [InlineData(@"[🙂-🙏]+", "a🙂🙃b", "a|🙂🙃|b")]
    [InlineData(@"\h+", "xyz12ef", "xyz|12ef")]
    [InlineData(@"\R", "a\r\nb", "a|\r\n|b")]
    [InlineData(@"^b|a$", "a\nb", "a|\n|b")]
    [InlineData(@"(?m:a.b)", "a\nb", "a\nb")]
    [InlineData(@"[^a]", "🙂a", "🙂|a")]
    public void Pattern_MatchesAsInOniguruma(string pattern, string text, string expected) =>
        Assert.Equal(expected.Split('|'), Match(pattern, text));

    [Theory]
    [InlineData(@"\X", @"\X is not supported (at position 0)")]
    [InlineData(@"a\Kb", @"\K is not supported (at position 1)")]
    [InlineData("(?~ab)", "the absent function (?~ is not supported (at position 0)")]
    [InlineData("a(?(1)b|c)", "the condition (?( is not supported (at position 1)")]
    [InlineData(@"(a)\g<1>", @"the call of a group, \g is not supported (at position 3)")]
    [InlineData(@"\p{Latim}", "the property 'Latim' is unknown (at position 0)")]
    [InlineData("[abc", "the character class has no closing bracket (at position 0)")]
    [InlineData("(a", "the group has no closing parenthesis (at position 0)")]
    [InlineData("a)", "a closing parenthesis has no opening one (at position 1)")]
    [InlineData("*a", "a quantifier has nothing to repeat (at position 0)")]
    [InlineData(@"\", "it ends with a lone backslash (at position 1)")]
    public void WhatCannotBeTranslated_IsRefusedWithItsPlace(string pattern, string expected)
    {
        var error = Assert.Throws<TokenizerFormatException>(() => new RegexPattern(pattern, "test"));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void DeeplyNestedPatterns_AreRefused()
    {
        Assert.Throws<FormatException>(() => PatternParser.Parse(new string('(', 5000) + new string(')', 5000)));
        Assert.Throws<FormatException>(() => PatternParser.Parse(new string('[', 5000) + "a" + new string(']', 5000)));
    }

    [Fact]
    public void PatternWhoseClassesAreTooLong_IsRefused() => Assert.Contains("longer than", Assert.Throws<TokenizerFormatException>(
        () => new RegexPattern(string.Concat(Enumerable.Repeat(@"\b", 30_000)), "test")).Message, StringComparison.Ordinal);

    private static string[] Match(string pattern, string text)
    {
        var matches = new List<PatternMatch>();
        new RegexPattern(pattern, "test").FindMatches(text, matches);
        return [.. matches.Select(match => text[match.Start..match.End])];
    }
}
