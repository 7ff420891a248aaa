using Ndif.Engine.Tests.Support;
using Ndif.Protocol;


namespace Ndif.Engine.Tests.Interleaving;

public sealed class IterationTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4], _other = [9, 2];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    /// <summary>A generation that ends after this many tokens.</summary>
    private static Program EndsAfter(Program program, TensorData ids, int prompt, int tokens)
    {
        long end = ids[0, prompt + tokens - 1].Item<long>();
        foreach (Node node in program.Nodes)
            if (node.KindCase is Node.KindOneofCase.Trace) node.Trace.Generation.Eos.Add(end);
        return program;
    }

    private TensorData Ids(int[] prompt, int tokens) => _fixture.Run(prompt, tokens, t => t.Result.Save("ids")).AssertCompleted()
        .Tensor("ids");

    [Fact]
    public void EachStep_IsTheNextCall_AndTheResultIsPromptAndNewTokens()
    {
        JobOutcome run = _fixture.Run(_prompt, 4, t =>
        {
            foreach (int step in t.Iter[..]) Model.Logits.Save($"{step}");
            t.Result.Save("ids");
        }).AssertCompleted();
        Assert.Equal([1, 3, 40], run.Tensor("0").Shape.ToArray());
        Assert.Equal([1, 1, 40], run.Tensor("3").Shape.ToArray());
        long[] ids = run.Tensor("ids").ToArray<long>();
        Assert.Equal([3L, 1, 4], ids[..3]);
        Assert.Equal(Enumerable.Range(0, 4).Select(step => TensorAssert.ArgMax(run.Tensor($"{step}"))[0]), ids[3..]);
    }

    [Fact]
    public void RangesStridesAndLists_PickTheirSteps()
    {
        foreach (Func<Iteration, IEnumerable<int>> pick in (Func<Iteration, IEnumerable<int>>[])[i => i[1..3], i => i[.., 2], i => i[3],
            i => i[0, 2], i => i[2..]])
        {
            List<int> steps = [];
            JobOutcome run = _fixture.Run(_prompt, 5, t =>
            {
                foreach (int step in pick(t.Iter))
                {
                    steps.Add(step);
                    Model.Logits.Save($"{step}");
                }
            }).AssertCompleted();
            Assert.Equal(steps.Select(s => $"{s}"), run.Names);
        }
    }

    [Fact]
    public void AnEditAtAStep_ChangesWhatFollows_AndNothingBefore()
    {
        JobOutcome Run(bool edit) => _fixture.Run(_prompt, 4, t =>
        {
            foreach (int step in t.Iter[..])
            {
                if (edit && step == 2) Model.Layers[0].Hidden[..] = 0;
                Model.Logits.Save($"{step}");
            }
        }).AssertCompleted();
        JobOutcome plain = Run(false), edited = Run(true);
        TensorAssert.Same(plain.Tensor("1"), edited.Tensor("1"));
        TensorAssert.NotEqual(plain.Tensor("2"), edited.Tensor("2"));
    }

    [Fact]
    public void StepsThatDoNotHappen_AreOneWarning_AndWhatWasSavedStays()
    {
        Program program = _fixture.Record(_prompt, 6, t =>
        {
            ValueList list = t.List();
            list.Save("list");
            foreach (int step in t.Iter[..])
            {
                Model.Logits.Save($"{step}");
                list.Append(step);
            }
            list.Append(100); // the statements after the iteration run
            t.Result.Save("ids");
        });
        JobOutcome run = _fixture.Run(EndsAfter(program, Ids(_prompt, 6), 3, 2))[0].AssertCompleted();
        Assert.Equal(["0", "1", "list", "ids"], run.Names.OrderBy(n => n.Length).ThenBy(n => n, StringComparer.Ordinal)
            .Where(n => n != "ids").Append("ids"));
        Assert.Equal([0L, 1, 100], run["list"].List.Items.Select(i => i.Integer));
        Assert.Equal(5, run.Tensor("ids").Shape[1]);
        Assert.StartsWith("The iteration asked for steps 0 to 5, but step 2 did not happen: `model.output` was called 2 times.",
            Assert.Single(run.Warnings), StringComparison.Ordinal);
    }

    [Fact]
    public void AnotherInvokesStepThatDoesNotHappen_IsAWarning_WhereAnIterationUsesIt()
    {
        Program program = _fixture.Record(null, 5, t =>
        {
            List<Value> steps = [];
            using (t.Invoke(_prompt))
                foreach (int step in t.Iter[..]) steps.Add(Model.Layers[0].Hidden);
            using (t.Invoke(_prompt))
                foreach (int step in t.Iter[..])
                {
                    (steps[step] * 1).Save($"{step}");
                    Model.Layers[1].Hidden.Save($"second{step}");
                }
        });
        JobOutcome run = _fixture.Run(EndsAfter(program, Ids(_prompt, 5), 3, 2))[0].AssertCompleted();
        Assert.Equal(["0", "1", "second0", "second1"], run.Names.Order());
        Assert.Equal(2, run.Warnings.Count);
    }

    [Fact]
    public void AValueOfAStepThatDidNotHappen_UsedAfterwards_IsAnError()
    {
        Program program = _fixture.Record(_prompt, 6, t =>
        {
            Value last = 0;
            foreach (int step in t.Iter[..])
            {
                last = Model.Logits;
                if (step == 0) last.Save("first");
            }
            last.Save("last");
        });
        JobOutcome outcome = _fixture.Run(EndsAfter(program, Ids(_prompt, 6), 3, 2))[0];
        Assert.Contains("its step did not happen", outcome.AssertFailed(ErrorCode.MissedValue).Message, StringComparison.Ordinal);
        Assert.Equal(["first"], outcome.Names);
    }

    [Fact]
    public void RowsEndOnTheirOwn_AndAreFilledUp()
    {
        TensorData a = Ids(_prompt, 5), b = Ids(_other, 5);
        Program program = _fixture.Record(null, 5, t =>
        {
            using (t.Invoke(_prompt)) t.Result.Save("a");
            using (t.Invoke(_other)) t.Result.Save("b");
        });
        long end = a[0, 4].Item<long>();
        JobOutcome run = _fixture.Run(EndsAfter(program, a, 3, 2))[0].AssertCompleted();
        Assert.Equal(a[.., ..5].ToArray<long>(), run.Tensor("a")[.., ..5].ToArray<long>());
        Assert.All(run.Tensor("a")[0, 5..].ToArray<long>(), id => Assert.Equal(end, id));
        long[] expected = b.ToArray<long>();
        int length = Array.IndexOf(expected, end, 2) is >= 0 and var at ? at + 1 : expected.Length;
        Assert.Equal(expected[..length], run.Tensor("b").ToArray<long>()[..length]);
    }

    [Fact]
    public void ZeroNewTokens_AreNone()
    {
        Assert.Equal([3L, 1, 4], Ids(_prompt, 0).ToArray<long>());
        Assert.Equal(4, Ids(_prompt, 1).Shape[1]);
    }
}
