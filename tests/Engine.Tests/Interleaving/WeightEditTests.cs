using Ndif.Engine.Tests.Support;
using Ndif.Models.ForwardSource;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Interleaving;

/// <summary>
/// The operations inside a module receive its weights, and some return a view of one. All programs share them, so no program can edit them.
/// </summary>
public sealed class WeightEditTests(ITestOutputHelper output)
{
    private static readonly int[] _prompt = [5, 6, 7, 8], _other = [9, 3, 4];

    [Theory]
    [InlineData("gpt2")]
    [InlineData("t5")]
    [InlineData("BertForSequenceClassification")]
    [InlineData("deberta_v2 positions")]
    [InlineData("mamba")]
    [InlineData("GptOss")]
    [InlineData("rwkv")]
    public void NoEditOfAnOperation_ChangesALaterJob(string name)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of(name, 1));
        TensorData before = Plain(fixture);
        int edits = 0, refused = 0;
        foreach (string path in fixture.HookedModel.Paths)
        {
            if (fixture.HookedModel.Source(fixture.HookedModel.IndexOf(path)) is not { } source) continue;
            foreach (SourceSite site in source.Sites)
                for (int i = -1; i < Math.Min(4, site.Operation.Inputs.Count); i++)
                {
                    int argument = i; // -1 is the output
                    edits++;
                    if (Edit(fixture, path, site, argument).Error is { Code: ErrorCode.BadArgument } error
                        && error.Message.Contains("is a weight of the model", StringComparison.Ordinal)) refused++;
                }
            Assert.True(TensorAssert.Difference(before, Plain(fixture)) == 0, $"An edit in {path} stays.");
        }
        output.WriteLine($"{edits} edits, {refused} of weights");
        Assert.True(refused > 3);
    }

    [Fact]
    public void AnEditOfARowOfAWeight_IsRefused()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of("gpt2", 1));
        TensorData before = Plain(fixture);
        JobOutcome outcome = fixture.Run(_prompt, _ =>
            fixture.Model.LmHead.Source["linear_0"].Inputs.Args[1][0] *= 2);
        outcome.AssertFailed(ErrorCode.BadArgument);
        TensorAssert.Same(before, Plain(fixture));
    }

    private static TensorData Plain(EngineFixture fixture) =>
        fixture.Run(_other, _ => fixture.Output.Save("output")).AssertCompleted().Tensor("output");

    private static JobOutcome Edit(EngineFixture fixture, string path, SourceSite site, int argument) => fixture.Run(_prompt, _ =>
    {
        Operation operation = (path.Length == 0 ? fixture.Any : fixture.Any[path]).Source[site.Path];
        Value value = argument < 0 ? operation.Output : operation.Inputs.Args[argument];
        value[..] = value * 1.5;
    });
}
