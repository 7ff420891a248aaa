using Ndif.Engine.Tests.Support;
using Ndif.Protocol;


namespace Ndif.Engine.Tests.Generating;

/// <summary>Beam searches on a model: the cache follows the beams, and the batch of a site has rows · beams rows.</summary>
public sealed class BeamSearchRunTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4], _other = [9, 2, 6, 5, 3];

    private readonly EngineFixture _fixture = EngineFixture.Llama();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    private JobOutcome Run(Trace trace, Action<Trace>? experiment = null)
    {
        using (trace)
        {
            experiment?.Invoke(trace);
            trace.Result.Save("ids");
            return _fixture.Run(trace.ToProgram())[0];
        }
    }

    /// <summary>
    /// The log probability of the tokens that a row added to the prompt, from one pass over the whole row without a cache.
    /// </summary>
    private double LogProbability(long[] ids, int prompt)
    {
        TensorData logits = _fixture.Run(ids, _ => Model.Logits.LogSoftmax(-1).Save("logits")).AssertCompleted().Tensor("logits");
        return Enumerable.Range(prompt, ids.Length - prompt).Sum(at => logits[0, at - 1, (int)ids[at]].Item<float>());
    }

    [Fact]
    public void TwoSteps_FindTheBestOfAllPairs()
    {
        // as many beams as tokens: nothing is pruned, so the result must be the best of 40 * 40
        long[] found = Run(Model.Generate(_prompt, 2, new() { NumBeams = 40, IgnoreEos = true })).AssertCompleted().Tensor("ids")
            .ToArray<long>();
        int[][] pairs = [.. Enumerable.Range(0, 40).Select(first => (int[])[.. _prompt, first])];
        // [first, seq, second]
        TensorData second = _fixture.Run(pairs, _ => Model.Logits.LogSoftmax(-1).Save("logits")).AssertCompleted().Tensor("logits");
        (long First, long Second, double Score)[] all =
            [.. Enumerable.Range(0, 40).SelectMany(first => Enumerable.Range(0, 40).Select(next =>
            ((long)first, (long)next, (double)second[0, 2, first].Item<float>() + second[first, 3, next].Item<float>())))];
        (long first, long next, _) = all.MaxBy(p => p.Score);
        Assert.Equal([3, 1, 4, first, next], found);
    }

    [Fact]
    public void AWiderSearch_IsAtLeastAsLikely_AndItsRowsAreWhatAPassWithoutCacheSays()
    {
        TensorData wide = Run(Model.Generate(_prompt, 6, new() { NumBeams = 8, NumReturnSequences = 8, IgnoreEos = true }))
            .AssertCompleted().Tensor("ids");
        long[] greedy = Run(Model.Generate(_prompt, 6, new() { IgnoreEos = true })).AssertCompleted().Tensor("ids").ToArray<long>();
        double[] scores = [.. Enumerable.Range(0, 8).Select(row => LogProbability(wide[row].ToArray<long>(), 3))];
        Assert.True(scores[0] >= LogProbability(greedy, 3) - 1e-4);
        // if the cache did not follow the beams, the scores would not be sorted
        for (int i = 1; i < 8; i++) Assert.True(scores[i] <= scores[i - 1] + 1e-4);
    }

    [Fact]
    public void Sites_ShowRowsTimesBeams_AndTheCacheFollowsThem()
    {
        JobOutcome run = Run(Model.Generate(new[] { _prompt, _prompt }, 4, new() { NumBeams = 3, IgnoreEos = true }), t =>
        {
            foreach (int step in t.Iter[..])
            {
                Model.Inputs.Kwargs["input_ids"].Save($"ids{step}");
                Model.Logits.Save($"{step}");
            }
        }).AssertCompleted();
        Assert.Equal([6, 3, 40], run.Tensor("0").Shape.ToArray());
        Assert.Equal([6, 1, 40], run.Tensor("3").Shape.ToArray());
        Assert.Equal([2, 7], run.Tensor("ids").Shape.ToArray());
        TensorAssert.Equal(run.Tensor("3")[..3], run.Tensor("3")[3..]);
    }

    [Fact]
    public void InvokesTogether_GiveWhatEachGivesAlone()
    {
        Trace trace = Model.Generate(maxNewTokens: 5, options: new() { NumBeams = 3, NumReturnSequences = 2 });
        using (trace)
        {
            using (trace.Invoke(_prompt)) trace.Result.Save("a");
            using (trace.Invoke(new[] { _other, _prompt })) trace.Result.Save("b");
            JobOutcome run = _fixture.Run(trace.ToProgram())[0].AssertCompleted();
            TensorData alone = Run(Model.Generate(_prompt, 5, new() { NumBeams = 3, NumReturnSequences = 2 })).AssertCompleted()
                .Tensor("ids"), other = Run(Model.Generate(_other, 5, new() { NumBeams = 3, NumReturnSequences = 2 })).AssertCompleted()
                .Tensor("ids");
            int width = (int)alone.Shape[1];
            Assert.Equal(alone.ToArray<long>(), run.Tensor("a")[.., ..width].ToArray<long>());
            Assert.Equal(other.ToArray<long>(), run.Tensor("b")[..2, ..(int)other.Shape[1]].ToArray<long>());
            Assert.Equal(alone.ToArray<long>(), run.Tensor("b")[2.., 2..(2 + width)].ToArray<long>());
        }
    }

    [Fact]
    public void AnEditOnAllBeams_ChangesTheSearch()
    {
        long[] plain = Run(Model.Generate(_prompt, 5, new() { NumBeams = 3 })).AssertCompleted().Tensor("ids").ToArray<long>();
        long[] forced = Run(Model.Generate(_prompt, 5, new() { NumBeams = 3, IgnoreEos = true }), t =>
        {
            foreach (int step in t.Iter[..]) Model.Logits[.., ^1, 17] = 100;
        }).AssertCompleted().Tensor("ids").ToArray<long>();
        Assert.NotEqual(plain, forced);
        Assert.Equal([17L, 17, 17, 17, 17], forced[3..]);
    }

    [Fact]
    public void AStoppedSearch_HasNoErrors_AndGivesWhatItHas()
    {
        JobOutcome run = _fixture.Run(Record(Model.Generate(_prompt, 6, new() { NumBeams = 3 }), t =>
        {
            foreach (int step in t.Iter[..3]) Model.Logits.Save($"{step}");
            t.Stop();
        }))[0].AssertCompleted();
        Assert.Equal(["0", "1", "2"], run.Names);
    }

    private static Program Record(Trace trace, Action<Trace> experiment)
    {
        using (trace)
        {
            experiment(trace);
            return trace.ToProgram();
        }
    }
}
