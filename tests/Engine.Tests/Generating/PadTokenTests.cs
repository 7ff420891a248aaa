using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Generating;

/// <summary>The token before the shorter prompts of an invoke, in the result and where the model reads it.</summary>
public sealed class PadTokenTests
{
    [Theory]
    [InlineData("", 0)]                                   // the end of a sequence, 0 in this model
    [InlineData(", \"eos_token_id\": 9", 9)]
    [InlineData(", \"pad_token_id\": 7", 7)]
    [InlineData(", \"pad_token_id\": 7, \"eos_token_id\": 9", 7)]
    [InlineData(", \"eos_token_id\": [11, 9]", 11)]
    public void OfTheModelsFiles(string more, long pad)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.GPT2(more: more));
        Check(fixture, pad);
    }

    [Fact]
    public void OfTheTokenizer_IsTheFirst()
    {
        using TempFolder folder = new();
        TinyModel.Write(folder, TinyModel.GPT2(more: ", \"pad_token_id\": 7"));
        folder.Write("tokenizer.json", """
            { "version": "1.0", "added_tokens": [{ "id": 5, "content": "<pad>", "special": true }],
              "model": { "type": "WordLevel", "vocab": { "a": 0, "b": 1, "<pad>": 5 }, "unk_token": "a" } }
            """);
        folder.Write("tokenizer_config.json", """{ "pad_token": "<pad>" }""");
        using EngineFixture fixture = EngineFixture.Open(folder.Path);
        Check(fixture, 5);
    }

    private static void Check(EngineFixture fixture, long pad)
    {
        int[][] prompts = [[1, 2, 3, 4], [30, 6]];
        using Trace trace = fixture.Model.Generate(prompts, 2, new() { IgnoreEos = true });
        JobOutcome outcome = fixture.Run(fixture.RecordIn(trace, t =>
        {
            fixture.Model.Embed.Input.Save("input");
            t.Result[1].Save("row");
        }))[0].AssertCompleted();
        Assert.Equal([1, 2, 3, 4, pad, pad, 30, 6], outcome.Tensor("input").ToArray<long>());
        Assert.Equal([pad, pad, 30, 6], outcome.Tensor("row").ToArray<long>()[..4]);
    }
}
