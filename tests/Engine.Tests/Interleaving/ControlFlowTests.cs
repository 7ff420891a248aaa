using Ndif.Engine.Tests.Support;
using Ndif.Protocol;


namespace Ndif.Engine.Tests.Interleaving;

/// <summary>
/// Branches and loops on values that are known only when the program runs: in traces, in generations and between traces.
/// </summary>
public sealed class ControlFlowTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4], _other = [9, 2], _numbers = [1, 2, 3, 4];
    private static readonly int[][] _prompts = [_prompt, [2, 7, 1]];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    [Theory]
    [InlineData(1, "then")]
    [InlineData(-1, "else if")]
    [InlineData(0, "else")]
    public void ABranch_IsTakenByItsCondition(double sign, string expected)
    {
        JobOutcome run = _fixture.Run(_prompt, t =>
        {
            Value score = Model.Layers[0].Hidden[0, 0, 0] * 0 + sign;
            t.If(score > 0, () => Branch("then", 1)).ElseIf(score < 0, () => Branch("else if", 2)).Else(() => Branch("else", 3));
            Model.Layers[1].Input.Save("next");

            void Branch(string name, double value)
            {
                Model.Layers[0].Hidden[..] = value;
                Model.Layers[0].Hidden.Save(name);
            }
        }).AssertCompleted();
        Assert.Equal([expected, "next"], run.Names);
        TensorAssert.Same(run.Tensor(expected), run.Tensor("next"));
    }

    [Fact]
    public void AValueOfABranchThatWasNotTaken_WasNeverComputed()
    {
        Error error = _fixture.Run(_prompt, t =>
        {
            Value inside = 0;
            t.If(Model.Layers[0].Hidden.Shape[0] > 1, () => inside = Model.Layers[0].Hidden * 2);
            (inside + 1).Save("sum");
        }).AssertFailed(ErrorCode.MissedValue);
        Assert.Contains("branch was not taken", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AValueOfABranchThatWasNotTaken_IsNotWaitedFor_ByAnotherInvoke()
    {
        JobOutcome outcome = _fixture.Run(_fixture.Record(null, t =>
        {
            Value inside = 0;
            using (t.Invoke(_prompt)) t.If(Model.Layers[0].Hidden.Shape[0] > 1, () => inside = Model.Layers[0].Hidden * 2);
            using (t.Invoke(_prompt)) (inside + 1).Save("sum");
        }))[0];
        Assert.Contains("branch was not taken", outcome.AssertFailed(ErrorCode.MissedValue).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Loops_RepeatAndBreak()
    {
        JobOutcome run = _fixture.Run(_prompt, t =>
        {
            Value hidden = Model.Layers[0].Hidden;
            ValueList seen = t.List();
            seen.Save("seen");
            t.ForEach(_numbers, item =>
            {
                t.If(item > 3, t.Break);
                seen.Append(item * 10);
            });
            ValueList norms = t.List();
            norms.Save("tokens");
            t.ForEach(hidden[0], token => norms.Append(token.Shape[0]));
            Variable count = t.Variable(0);
            t.While(() => count.Value < 5, () => count.Set(count.Value + 2), limit: 10);
            count.Value.Save("count");
        }).AssertCompleted();
        Assert.Equal([10L, 20, 30], run["seen"].List.Items.Select(i => i.Integer));
        Assert.Equal([16L, 16, 16], run["tokens"].List.Items.Select(i => i.Integer));
        Assert.Equal(6, run["count"].Integer);
    }

    [Fact]
    public void AWhileThatDoesNotEnd_IsStoppedAtItsLimit_AndCanBeCancelled()
    {
        Action<Trace> forever(int limit, bool log) => t =>
        {
            Value one = Model.Layers[0].Hidden.Shape[0];
            t.While(() => one > 0, () => { if (log) t.Log("turn"); else _ = one + 1; }, limit);
        };
        Assert.Contains("after 7 turns", _fixture.Run(_prompt, forever(7, false)).AssertFailed(ErrorCode.LimitExceeded).Message,
            StringComparison.Ordinal);
        using CancellationTokenSource cancel = new();
        _fixture.Run((_fixture.Record(_prompt, forever(int.MaxValue, true)), new JobOutcome { OnLog = cancel.Cancel }, cancel.Token))[0]
            .AssertFailed(ErrorCode.JobCancelled);
    }

    [Fact]
    public void ATurn_ForgetsTheValuesOfTheOneBefore()
    {
        Error error = _fixture.Run(_prompt, t =>
        {
            Value shape = Model.Layers[0].Hidden.Shape;
            t.ForEach(shape[..2], item =>
            {
                Value inside = 0;
                t.If(item < 2, () => inside = item * 2); // only in the first iteration
                t.Log(inside);
            });
        }).AssertFailed(ErrorCode.MissedValue);
        Assert.Contains("branch was not taken", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void EachStep_RunsAsLongAsTheModelIsCalled_WithoutAWarning()
    {
        JobOutcome run = _fixture.Run(_prompt, 4, t =>
        {
            ValueList steps = t.List();
            steps.Save("steps");
            t.Iter.Each(step =>
            {
                t.If(step.Eq(2), () => Model.Layers[0].Hidden[..] = 0);
                steps.Append(Model.Logits[.., ^1]);
            });
            steps.Append(1);
        }).AssertCompleted();
        Assert.Equal(5, run["steps"].List.Items.Count);
        Assert.Empty(run.Warnings);
        JobOutcome bounded = _fixture.Run(_prompt, 2, t => t.Iter.Each(step => Model.Logits.Save("last"), ..5)).AssertCompleted();
        Assert.StartsWith("The iteration asked for steps 0 to 4, but step 2 did not happen", Assert.Single(bounded.Warnings),
            StringComparison.Ordinal);
    }

    [Fact]
    public void AnEndlessIteration_WithoutAModule_IsAnError()
    {
        JobOutcome outcome = _fixture.Run(_prompt, 2, t => t.Iter.Each(step => t.Log(step)));
        Assert.Contains("it would never end", outcome.AssertFailed(ErrorCode.BadArgument).Message, StringComparison.Ordinal);
        var p = new ProgramBuilder();
        p.Trace(ProgramBuilder.Tokens([3, 1]),
            () => p.Add(new Node { Steps = new StepLoop { Each = new StepRange(), Region = p.Region(() => p.Read("lm_head")) } }));
        _fixture.Run(p.Program)[0].AssertFailed(ErrorCode.BadArgument); // a fixed call index does not depend on the step
    }

    [Fact]
    public void ASession_LoopsOverTraces_AndBranchesBetweenThem()
    {
        using Session session = Model.Session();
        ValueList list = session.List();
        list.Save("list");
        session.ForEach(_prompts.Select(p => TensorData.FromArray(p, 1, 3)), prompt =>
        {
            Value last;
            using (Model.Trace(prompt)) last = Model.Logits[0, ^1].ArgMax();
            list.Append(last);
            session.If(last < 0, () => list.Append(-1));
        });
        using (Trace t = Model.Trace(_prompt)) Model.Logits[0, ^1].ArgMax().Save("alone");
        JobOutcome run = _fixture.Run(session.ToProgram())[0].AssertCompleted();
        Assert.Equal(2, run.Tensors("list").Length);
        Assert.Equal(run.Tensor("alone").Item<long>(), run.Tensors("list")[0].Item<long>());
    }

    [Fact]
    public void TwoOwnersInALoop_AreTheirOwn()
    {
        Program Count(int[] prompt, int steps) => _fixture.Record(prompt, steps, t =>
        {
            Variable calls = t.Variable(0);
            t.Iter.Each(step =>
            {
                Model.Logits.Save("last");
                calls.Set(calls.Value + 1);
                calls.Value.Save("calls");
            });
        });
        JobOutcome[] both = _fixture.Run(Count(_prompt, 2), Count(_other, 5));
        Assert.Equal([2L, 5], both.Select(b => b.AssertCompleted()["calls"].Integer));
    }
}
