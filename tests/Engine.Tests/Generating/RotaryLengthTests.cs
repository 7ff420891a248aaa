using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Generating;

/// <summary>Generations with models whose rotary frequencies change with the length of a row.</summary>
public sealed class RotaryLengthTests
{
    private static readonly int[] _five = [1, 2, 3, 4, 5], _three = [9, 8, 7], _ten = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

    private const string LongRope = """
        "rope_type": "longrope", "original_max_position_embeddings": 8, "short_factor": [1.0, 1.1, 1.3, 1.5],
        "long_factor": [1.0, 2.0, 3.0, 4.0]
        """;

    private static EngineFixture Long() => EngineFixture.Of(TinyConfigs.Rope(2, LongRope));

    /// <summary>
    /// Phi-3 computes the keys again when a row exceeds the length: each step gives the values of a pass without a cache.
    /// </summary>
    [Fact]
    public void Phi3_ComputesARowsKeysAgain_WhereItCrosses_AndItsNeighbourIsAsAlone()
    {
        using EngineFixture fixture = Phi3();
        Assert.Equal(12, fixture.HookedModel.Root.CacheRecomputeLength);
        Program grows = Steps(_ten), stays = Steps(_three);
        JobOutcome alone = fixture.Run(stays)[0].AssertCompleted();
        JobOutcome[] both = fixture.Run(grows, stays);
        long[] ids = both[0].AssertCompleted().Tensor("ids").ToArray<long>();
        int steps = ids.Length - _ten.Length; // the generation may end early
        Assert.InRange(steps, 4, 8);
        for (int step = 0; step < steps; step++)
        {
            int[] before = [.. ids[..(_ten.Length + step)].Select(id => (int)id)];
            TensorData whole = fixture.Run(before, _ => fixture.Model.Logits[0, ^1].Save("logits")).AssertCompleted().Tensor("logits");
            TensorAssert.Equal(whole, both[0].Tensor($"logits{step}"), 1e-4);
            Assert.Equal(ids[_ten.Length + step], whole.ToArray<float>().Index().MaxBy(logit => logit.Item).Index);
        }
        Assert.Equal(alone.Tensor("ids").ToArray<long>(), both[1].AssertCompleted().Tensor("ids").ToArray<long>());
        TensorAssert.Equal(alone.Tensor("logits4"), both[1].Tensor("logits4"), 1e-4);

        Program Steps(int[] prompt) => fixture.Record(prompt, 8, t =>
        {
            foreach (int step in t.Iter[..8]) fixture.Model.Logits[0, ^1].Save($"logits{step}");
            t.Result.Save("ids");
        });
    }

    /// <summary>The keys that are computed again would be without the edits of earlier steps.</summary>
    [Theory]
    [InlineData("write")]
    [InlineData("in place")]
    [InlineData("skip")]
    public void Phi3_RefusesAGenerationWithEditedKeys_WhereItCrosses(string edit)
    {
        using EngineFixture fixture = Phi3();
        Error error = fixture.Run(_ten, 8, t =>
        {
            foreach (int step in t.Iter[..8])
                if (edit == "write") fixture.Model.Layers[0].Mlp.Output = fixture.Model.Layers[0].Mlp.Output * 0;
                else if (edit == "skip") fixture.Model.Layers[0].Mlp.Skip(fixture.Model.Layers[0].Mlp.Input);
                else fixture.Model.Layers[0].Mlp.Output[.., ^1] = 0;
            t.Result.Save("ids");
        }).Error!;
        Assert.Equal(ErrorCode.Unsupported, error.Code);
        Assert.Contains("grows past 12 tokens", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Phi3_GoesOn_WhereOnlyLogitsAreEdited_OrARowDoesNotCross()
    {
        using EngineFixture fixture = Phi3();
        fixture.Run(_ten, 8, t =>
        {
            foreach (int step in t.Iter[..4]) fixture.Model.Logits[.., ^1, 3] += 1;
            t.Result.Save("ids");
        }).AssertCompleted();
        Program edited = Edited(_three, 8), crossing = fixture.Record(_ten, 8, t => t.Result.Save("ids"));
        JobOutcome alone = fixture.Run(edited)[0].AssertCompleted();
        JobOutcome[] both = fixture.Run(crossing, edited); // the keys of the neighbour are not computed again
        both[0].AssertCompleted();
        TensorAssert.Equal(alone.Tensor("logits7"), both[1].AssertCompleted().Tensor("logits7"), 1e-4);

        Program Edited(int[] prompt, int tokens) => fixture.Record(prompt, tokens, t =>
        {
            foreach (int step in t.Iter[..tokens])
            {
                fixture.Model.Layers[0].Hidden[.., 0] += 3;
                fixture.Model.Logits[0, ^1].Save($"logits{step}");
            }
        });
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Phi3_GoesOn_BesideAnEditedInvokeThatDoesNotCross(bool isInPlace)
    {
        using EngineFixture fixture = Phi3();
        Run(_three, _ten).AssertCompleted();
        Error error = Run(_ten, _three).AssertFailed(ErrorCode.Unsupported);
        Assert.Contains("grows past 12 tokens", error.Message, StringComparison.Ordinal);

        JobOutcome Run(int[] edited, int[] other) => fixture.Run(fixture.RecordIn(
            fixture.Model.Generate(maxNewTokens: 6, options: new() { IgnoreEos = true }), t =>
            {
                using (t.Invoke(edited))
                    if (isInPlace) fixture.Model.Layers[0].Hidden[.., 0] += 3;
                    else fixture.Model.Layers[0].Mlp.Output = fixture.Model.Layers[0].Mlp.Output * 0;
                using (t.Invoke(other)) fixture.Model.Logits.Save("logits");
            }))[0];
    }

    private static EngineFixture Phi3() => EngineFixture.Of(TinyConfigs.Of("phi3 longrope", 2)
        .Replace("\"original_max_position_embeddings\": 64", "\"original_max_position_embeddings\": 12", StringComparison.Ordinal));

    /// <summary>Other models keep the keys, as in Hugging Face's code.</summary>
    [Fact]
    public void ARowThatGrows_KeepsItsKeys()
    {
        using EngineFixture fixture = Long();
        long[] ids = fixture.Run(_five, 6, t => t.Result.Save("ids")).AssertCompleted().Tensor("ids").ToArray<long>();
        Assert.Equal(11, ids.Length);
    }

    [Fact]
    public void ALongPrompt_GoesOn() // its keys have the long frequencies from the start
    {
        using EngineFixture fixture = Long();
        long[] ids = fixture.Run(_ten, 5, t => t.Result.Save("ids")).AssertCompleted().Tensor("ids").ToArray<long>();
        for (int length = 11; length < ids.Length; length++)
        {
            int[] before = [.. ids[..length].Select(id => (int)id)];
            TensorData logits = fixture.Run(before, _ => fixture.Model.Logits.Save("logits")).AssertCompleted().Tensor("logits");
            Assert.Equal(ids[length], TensorAssert.ArgMax(logits)[0]);
        }
    }
}
