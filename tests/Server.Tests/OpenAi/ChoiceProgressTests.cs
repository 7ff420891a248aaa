using Ndif.Protocol;
using Ndif.Server.OpenAi;
using Ndif.Tokenizers;

namespace Ndif.Server.Tests.OpenAi;

/// <summary>How the events of a job become the parts of a choice.</summary>
public sealed class ChoiceProgressTests
{
    private static readonly CompletionModel _model = CreateModel();

    [Fact]
    public void AJobThatRunsAgain_DeliversNothingTwice()
    {
        ChoiceProgress choice = Create(maxTokens: 3);
        choice.OnToken(Token(0, "a"));
        choice.OnToken(Token(1, "b"));
        Assert.Equal(["a", "b"], [Take(choice), Take(choice)]);
        choice.OnRestart();
        Assert.Null(choice.TakeNext());
        choice.OnToken(Token(0, "a"));
        choice.OnToken(Token(1, "b"));
        Assert.Null(choice.TakeNext());
        choice.OnToken(Token(2, "c", isLast: true));
        ChoiceDelta last = choice.TakeNext()!;
        Assert.Equal(("c", "length", 3, true), (last.Text, last.FinishReason, choice.TokenCount, choice.HasEnded));
    }

    [Fact]
    public void ATokenWaitsForItsLogprobs()
    {
        ChoiceProgress choice = Create(maxTokens: 2, logprobs: 1, new ChoiceSaves
        {
            FirstTopValues = 1, FirstTopIds = 2, Logprob = 3, TopValues = 4, TopIds = 5,
        });
        choice.OnToken(Token(0, "a"));
        choice.OnValue(1, TensorData.FromArray<float>([-0.5f]));
        choice.OnValue(2, TensorData.FromArray<long>([1]));
        Assert.Null(choice.TakeNext());
        choice.OnValue(3, TensorData.FromArray<float>([-0.7f]));
        TokenLogprob token = Assert.Single(choice.TakeNext()!.Tokens);
        Assert.Equal((-0.7f, "b", -0.5f), (token.Logprob, token.Top[0].Text, token.Top[0].Logprob));
        Assert.Null(choice.TakeNext());
    }

    [Fact]
    public void AnEarlyEnd_IsStop()
    {
        ChoiceProgress choice = Create(maxTokens: 9);
        choice.OnToken(Token(0, "a", isLast: true));
        Assert.Equal("stop", choice.TakeNext()!.FinishReason);
    }

    private static ChoiceProgress Create(int maxTokens, int? logprobs = null, ChoiceSaves? saves = null) => new(
        0, _model, new CompletionRequest { Model = "m", Sampling = new Generation(), TopLogprobs = logprobs },
        new CompletionPrompt("", [0]), saves ?? new ChoiceSaves(), maxTokens);

    private static string? Take(ChoiceProgress choice) => choice.TakeNext()?.Text;

    private static NewToken Token(uint step, string text, bool isLast = false) => new() { Step = step, Id = 0, Text = text, Last = isLast };

    private static CompletionModel CreateModel() => new(
        "m", new ModelRef { Id = "m" }, new ModelDescription { Id = "m" }, HuggingFaceTokenizer.FromJson("""
            {"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}}
            """u8.ToArray()));
}
