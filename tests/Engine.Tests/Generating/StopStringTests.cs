using Ndif.Engine.Generating;
using Ndif.Engine.Tests.Features;
using Ndif.Tokenizers;

namespace Ndif.Engine.Tests.Generating;

/// <summary>The end of rows at stop strings, with the bundled model, whose texts are known.</summary>
public sealed class StopStringTests
{
    private const string Prompt = "The Eiffel Tower is in"; // the model continues with " the middle of Paris."

    private static readonly LanguageModel _llm = Backends.Model("local");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private static async Task<string> TextAsync(Trace trace)
    {
        using (trace)
        {
            Saved ids = trace.Result.Save();
            await trace.RunAsync(Cancellation);
            return _llm.Tokenizer.Decode(ids)[Prompt.Length..];
        }
    }

    [Theory]
    [InlineData(" the middle of Paris.", "nowhere")]
    [InlineData(" the middle", "mid")]               // within one token
    [InlineData(" the middle", "the mid")]           // begins in one token and ends in the next
    [InlineData(" the middle of", "e of", "Paris")]
    [InlineData(" the", "in the")]                   // begins in the prompt
    public async Task Text_EndsWithTheTokenThatCompletesAStop(string expected, params string[] stops) =>
        Assert.Equal(expected, await TextAsync(_llm.Generate(Prompt, 5, new() { StopStrings = stops })));

    [Fact]
    public async Task AStopThatThePromptHolds_DoesNotEndIt() =>
        Assert.Equal(" the middle of Paris.", await TextAsync(_llm.Generate(Prompt, 5, new() { StopStrings = ["Tower"] })));

    [Fact]
    public async Task RowsStopOnTheirOwn()
    {
        using Trace t = _llm.Generate(maxNewTokens: 5);
        Saved stopped, other;
        using (t.Invoke(Prompt, new() { StopStrings = ["middle"] })) stopped = t.Result.Save();
        using (t.Invoke(Prompt)) other = t.Result.Save();
        await t.RunAsync(Cancellation);
        Assert.Equal(" the middle", _llm.Tokenizer.Decode(stopped, skipSpecialTokens: true)[Prompt.Length..]);
        Assert.Equal(" the middle of Paris.", _llm.Tokenizer.Decode(other)[Prompt.Length..]);
    }

    [Fact]
    public async Task Beams_StopToo() =>
        Assert.EndsWith(" Paris",
            await TextAsync(
                _llm.Generate(Prompt, 5, new() { NumBeams = 2, StopStrings = ["aris"], EarlyStopping = Protocol.EarlyStopping.WhenFull })),
                StringComparison.Ordinal);

    [Fact]
    public void AStop_IsFoundWhateverTheTokens()
    {
        // every tokenization of a text: the row must end with the token that completes the stop string, no earlier and no later
        HuggingFaceTokenizer tokenizer = _llm.Tokenizer;
        string[] texts = ["The Louvre is in the city of Paris. The city", "a b c d e f", "Big Ben, né en 1859 — 12 ½ € 中文 🗼 end"];
        foreach (string text in texts)
        {
            int[] ids = [.. tokenizer.Encode(text)];
            for (int from = 1; from < text.Length - 3; from++)
            {
                string stop = text.Substring(from, 3);
                if (char.IsLowSurrogate(stop[0]) || char.IsHighSurrogate(stop[^1])) continue;
                for (int prompt = 1; prompt < ids.Length; prompt++)
                {
                    var stops = new StopStringCriteria(tokenizer, [stop], [.. ids[..prompt].Select(i => (long)i)]);
                    int found = Array.FindIndex(ids[prompt..], id => stops.Add(id));
                    int expected = Enumerable.Range(prompt, ids.Length - prompt).FirstOrDefault(at => IsNewIn(at), -1);
                    Assert.Equal(expected < 0 ? -1 : expected - prompt, found);

                    bool IsNewIn(int at)
                    {
                        string before = Whole(tokenizer.Decode(ids[..at])), now = Whole(tokenizer.Decode(ids[..(at + 1)]));
                        return now.Length > before.Length
                            && now.IndexOf(stop, Math.Max(0, before.Length - stop.Length + 1), StringComparison.Ordinal) >= 0;
                    }
                }
            }
        }

        static string Whole(string text) => text.TrimEnd('\uFFFD');
    }

    [Fact]
    public async Task AnyOfSeveralEnds_EndsARow_AndMayBeIgnored()
    {
        int middle = _llm.Tokenizer.Encode(" middle")[0], paris = _llm.Tokenizer.Encode(" Paris")[0];
        Assert.Equal(" the middle", await TextAsync(_llm.Generate(Prompt, 5, new() { EosTokenIds = [paris, middle] })));
        Assert.Equal(" the middle of Paris.",
            await TextAsync(_llm.Generate(Prompt, 5, new() { EosTokenIds = [paris, middle], IgnoreEos = true })));
    }
}
