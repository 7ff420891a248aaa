using System.Globalization;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Tests;

public sealed class RegexDialectTests
{
    [Theory]
    [InlineData(@"\p{L}++", @"(?>\p{L}+)")]
    [InlineData(@"[^\r\n]?+\p{L}+", @"(?>[^\r\n]?)\p{L}+")]
    [InlineData(@"(?:ab)*+c", @"(?>(?:ab)*)c")]
    [InlineData(@"\s+(?!\S)|\s+?", @"\s+(?!\S)|\s+?")]
    [InlineData(@"\p{N}{1,3}", @"\p{N}{1,3}")]
    [InlineData(@"(?i:'s|'t)", @"(?i:'s|'t)")]
    [InlineData(@"\x{2581}a", @"\u2581a")]
    [InlineData(@"[]a]+", @"[]a]+")]
    public void Oniguruma_IsSaidInDotNet(string pattern, string expected) => Assert.Equal(expected, RegexDialect.Translate(pattern));

    [Theory]
    [InlineData(@"\h+")]
    [InlineData(@"[a-z&&[^aeiou]]")]
    [InlineData(@"[[:alpha:]]")]
    [InlineData(@"[abc")]
    [InlineData(@"\")]
    public void WhatDotNetWouldReadDifferently_IsRefused(string pattern) =>
        Assert.Throws<TokenizerFormatException>(() => new RegexPattern(pattern, "test"));

    [Fact]
    public void Substitutes_HaveTheCategoryOfTheirRune()
    {
        foreach (var category in Enum.GetValues<UnicodeCategory>())
        {
            // No rune outside of the basic multilingual plane has one of these categories.
            if (category is UnicodeCategory.SpaceSeparator or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator
                or UnicodeCategory.Control or UnicodeCategory.Surrogate) continue;
            Assert.Equal(category, CharUnicodeInfo.GetUnicodeCategory(SupplementaryRuneSubstitution.GetSubstitute(category)));
        }
    }
}
