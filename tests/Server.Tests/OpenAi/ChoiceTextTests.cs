using Ndif.Server.OpenAi;

namespace Ndif.Server.Tests.OpenAi;

public sealed class ChoiceTextTests
{
    [Theory]
    [InlineData("a b c", "", "a b c")]
    [InlineData("a b c", "b", "a ")]
    [InlineData("abcabd", "abd", "abc")]
    [InlineData("aaab", "aab", "a")]
    [InlineData("one two three", "two,one", "")]
    [InlineData("ends in sto", "stop", "ends in sto")]
    [InlineData("x\n\ny", "\n\n", "x")]
    public void Text_EndsBeforeTheFirstStop_HoweverItComes(string text, string stops, string expected)
    {
        string[] all = stops.Split(',', StringSplitOptions.RemoveEmptyEntries);
        for (int size = 1; size <= text.Length; size++)
        {
            var choice = new ChoiceText(all);
            string released = "";
            for (int at = 0; at < text.Length; at += size)
            {
                string piece = text.Substring(at, Math.Min(size, text.Length - at));
                released += choice.Add(piece, null, at + size >= text.Length).Text;
                Assert.StartsWith(released, expected, StringComparison.Ordinal); // nothing is taken back
            }
            Assert.Equal(expected, released);
            Assert.Equal(expected.Length < text.Length, choice.IsStopped);
        }
    }

    [Fact]
    public void Tokens_AreReleased_WithTheTextInWhichTheyBegin()
    {
        var choice = new ChoiceText(["stop"]);
        Assert.Equal(("a ", ["a "]), Add("a ", isLast: false));
        Assert.Equal(("", []), Add("st", isLast: false)); // it may be a stop
        Assert.Equal(("star", ["st", "ar"]), Add("ar", isLast: false));
        Assert.Equal(("x", ["xsto"]), Add("xsto", isLast: false));
        Assert.Equal(("", []), Add("p!", isLast: true));
        Assert.True(choice.IsStopped);
        Assert.Equal(("", []), Add("more", isLast: true));

        (string, string[]) Add(string text, bool isLast)
        {
            (string released, IReadOnlyList<TokenLogprob> tokens) = choice.Add(text, new TokenLogprob(text, -1, []), isLast);
            return (released, [.. tokens.Select(token => token.Text)]);
        }
    }

    [Fact]
    public void ATokenWithoutText_ComesWithTheNextOne_AndTheLastTokensAreNotLost()
    {
        var choice = new ChoiceText([]);
        Assert.Empty(choice.Add("", new TokenLogprob("half a character", -1, []), isLast: false).Tokens);
        Assert.Equal(2, choice.Add("é", new TokenLogprob("the other half", -1, []), isLast: false).Tokens.Count);
        Assert.Single(choice.Add("", new TokenLogprob("half", -1, []), isLast: true).Tokens);
    }
}
