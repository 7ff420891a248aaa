using Ndif.Engine.Tests.Support;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Tests.Interleaving;

/// <summary>
/// The cases of nnsight's tests/test_iter_edge_cases.py; where nnsight fails, this implementation must do what was intended.
/// </summary>
public sealed class IterationEdgeTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4], _other = [9, 2];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private Program Record(Trace trace, Action<Trace> experiment)
    {
        using (trace)
        {
            experiment(trace);
            return trace.ToProgram();
        }
    }

    private JobOutcome Generate(int[]? prompt, int tokens, Action<Trace> experiment) =>
        _fixture.Run(Record(Model.Generate(prompt, tokens, new() { IgnoreEos = true }), experiment))[0];

    /// <summary>Calls one layer three times in a forward.</summary>
    private sealed class Recurrent : torch.nn.Module<torch.Tensor, torch.Tensor>
    {
#pragma warning disable IDE1006 // TorchSharp registers a module under the name of its field
        private readonly torch.nn.Module<torch.Tensor, torch.Tensor> linear = torch.nn.Linear(4, 4);
#pragma warning restore IDE1006

        public Recurrent() : base("Recurrent") => RegisterComponents();

        public override torch.Tensor forward(torch.Tensor x)
        {
            for (int i = 0; i < 3; i++) x = linear.call(x);
            return x;
        }
    }

    /// <summary>Which of its layers runs depends on the input.</summary>
    private sealed class Branched : torch.nn.Module<torch.Tensor, torch.Tensor>
    {
#pragma warning disable IDE1006 // TorchSharp registers a module under the name of its field
        private readonly torch.nn.Module<torch.Tensor, torch.Tensor> sub_a = torch.nn.Linear(4, 4), sub_b = torch.nn.Linear(4, 4);
#pragma warning restore IDE1006

        public Branched() : base("Branched") => RegisterComponents();

        public override torch.Tensor forward(torch.Tensor x) => x.sum().item<float>() > 0 ? sub_a.call(x) : sub_b.call(x);
    }

    [Fact]
    public async Task Iter_IndexesTheCallsOfAnInnerModule_WithinOneForward()
    {
        using var net = new Recurrent();
        var model = new NNsight(net);
        using torch.Tensor input = torch.ones(1, 4);
        List<Saved> unrolled = [];
        Saved only, final;
        using (Trace t = model.Trace(input))
        {
            foreach (int step in t.Iter[..3]) unrolled.Add(model["linear"].Output.Save());
            final = model.Output.Save();
            await t.RunAsync(Cancellation);
        }
        TensorAssert.Same(unrolled[2].Tensor, final.Tensor);
        TensorAssert.NotEqual(unrolled[0].Tensor, unrolled[1].Tensor);
        using (Trace t = model.Trace(input))
        {
            only = null!;
            foreach (int step in t.Iter[1]) only = model["linear"].Output.Save();
            await t.RunAsync(Cancellation);
        }
        TensorAssert.Same(unrolled[1].Tensor, only.Tensor);
        using (Trace t = model.Trace(input))
        {
            ValueList outputs = t.List();
            t.Iter.Each(_ => outputs.Append(model["linear"].Output)); // once for each call
            Saved all = outputs.Save();
            await t.RunAsync(Cancellation);
            Assert.Equal(3, ((object?[])all.Result!).Length);
        }
    }

    [Fact]
    public async Task AnEditOfACall_ReachesTheNextCall()
    {
        using var net = new Recurrent();
        var model = new NNsight(net);
        using torch.Tensor input = torch.ones(1, 4);
        using Trace t = model.Trace(input);
        foreach (int step in t.Iter[1]) model["linear"].Output[..] = 0;
        Saved next = null!;
        foreach (int step in t.Iter[2]) next = model["linear"].Output.Save();
        Saved bias = model["linear"].Parameter("bias").Save();
        await t.RunAsync(Cancellation);
        TensorAssert.Equal(bias.Tensor, next.Tensor[0], 1e-6); // for an input of zeros the output is the bias
    }

    [Fact]
    public async Task ABranchThatDoesNotRun_IsAMissedValue_AndTheOtherWorks()
    {
        using var net = new Branched();
        var model = new NNsight(net);
        using torch.Tensor input = torch.ones(1, 4);
        using (Trace t = model.Trace(input))
        {
            Saved taken = model["sub_a"].Output.Save();
            await t.RunAsync(Cancellation);
            Assert.Equal([1, 4], taken.Tensor.Shape.ToArray());
        }
        using (Trace t = model.Trace(input))
        {
            model["sub_b"].Output.Save();
            await Assert.ThrowsAsync<MissedValueException>(() => t.RunAsync(Cancellation));
        }
    }

    [Fact]
    public async Task AnOpenRange_OfAModelWhoseCallsAreNotKnown_IsRefusedWithAWayOut()
    {
        using var net = new Recurrent();
        var model = new NNsight(net);
        using torch.Tensor input = torch.ones(1, 4);
        using Trace t = model.Trace(input);
        Assert.Contains("Iter.Each", Assert.Throws<InvalidOperationException>(() => t.Iter[..].ToList()).Message, StringComparison.Ordinal);
        await Task.CompletedTask;
    }

    [Fact]
    public void ARangePastTheEnd_Warns_AndWhatWasSavedStays()
    {
        JobOutcome run = Generate(_prompt, 2, t =>
        {
            Model.Embed.Output.Save("first");
            foreach (int step in t.Iter[5..7]) Model.Logits.Save($"{step}");
            t.Log("after");
        }).AssertCompleted();
        Assert.Equal(["first"], run.Names);
        Assert.Contains("step 5 did not happen", Assert.Single(run.Warnings), StringComparison.Ordinal);
        Assert.Equal(["after"], run.Logs);
    }

    [Fact]
    public void AStepPastTheEnd_ThatAccessesNoModule_RunsItsBody()
    {
        JobOutcome run = Generate(_prompt, 2, t =>
        {
            foreach (int step in t.Iter[5]) t.Log("body", step);
        }).AssertCompleted();
        Assert.Equal(["body 5"], run.Logs);
        Assert.Empty(run.Warnings);
    }

    [Fact]
    public void AfterAnOpenIteration_PlainStatementsRun_AndAModulesFirstCallIsTooLate()
    {
        JobOutcome run = Generate(_prompt, 3, t =>
        {
            foreach (int step in t.All()) Model.Logits.Save($"{step}");
            t.Log("after");
            Model.Logits.Save("late");
        });
        run.AssertFailed(ErrorCode.OutOfOrder);
        Assert.Equal(["after"], run.Logs);
        Assert.Equal(["0", "1", "2"], run.Names);
    }

    [Fact]
    public void ABoundedRange_RunsSoOften_AndTheWholeRangeToo()
    {
        Assert.Equal(["1", "2"], Generate(_prompt, 4, t => Save(t, t.Iter[1..3])).AssertCompleted().Names);
        Assert.Equal(["0", "1", "2", "3"], Generate(_prompt, 4, t => Save(t, t.Iter[0..4])).AssertCompleted().Names);
        // sorted and without duplicates
        Assert.Equal(["0", "2", "3"], Generate(_prompt, 4, t => Save(t, t.Iter[[3, 0, 2, 2]])).AssertCompleted().Names);
        Assert.Equal(["0", "1", "2", "3"], Generate(_prompt, 4, t => Save(t, Model.LmHead.All())).AssertCompleted().Names);
    }

    [Fact]
    public void NegativeSteps_AreRefused()
    {
        using Trace t = Model.Generate(_prompt, 3);
        Assert.Contains("Iteration cannot be negative", Assert.Throws<ArgumentOutOfRangeException>(() => t.Iter[-1].ToList()).Message,
            StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => t.Iter[..^1].ToList());
        Assert.Throws<ArgumentOutOfRangeException>(() => t.Iter[[1, -2]].ToList());
        Assert.Throws<ArgumentOutOfRangeException>(() => t.Next(-1));
    }

    [Fact]
    public void Invokes_IterateOnTheirOwn()
    {
        JobOutcome run = Generate(null, 4, t =>
        {
            using (t.Invoke(_prompt)) Save(t, t.Iter[0..2], "a");
            using (t.Invoke(_other)) Save(t, t.Iter[2..4], "b");
            using (t.Invoke(_other, new() { MaxNewTokens = 2 })) Save(t, t.Iter[..], "c");
        }).AssertCompleted();
        Assert.Equal(["a0", "a1", "b2", "b3", "c0", "c1"], run.Names.Order());
        JobOutcome alone = Generate(_other, 4, t => Save(t, t.Iter[2..4], "b")).AssertCompleted();
        TensorAssert.Equal(alone.Tensor("b2"), run.Tensor("b2"));
    }

    [Fact]
    public void Next_IsTheNextCall_OutsideOfAnIteration_AndWithin()
    {
        JobOutcome steps = Generate(_prompt, 4, t => Save(t, t.Iter[..])).AssertCompleted();
        JobOutcome next = Generate(_prompt, 4, t =>
        {
            Model.Logits.Save("0");
            Model.LmHead.Next().Output.Save("1");
            t.Next(2);
            Model.Logits.Save("3");
        }).AssertCompleted();
        foreach (string name in (string[])["0", "1", "3"]) TensorAssert.Same(steps.Tensor(name), next.Tensor(name));
        JobOutcome within = Generate(_prompt, 4, t =>
        {
            foreach (int step in t.Iter[.., 2])
            {
                Model.Logits.Save($"{step}");
                t.Next();
                Model.Logits.Save($"{step + 1}");
            }
        }).AssertCompleted();
        foreach (string name in steps.Names) TensorAssert.Same(steps.Tensor(name), within.Tensor(name));
    }

    [Fact]
    public void Next_EndsWithItsInvokeOrBranch()
    {
        JobOutcome run = Generate(null, 3, t =>
        {
            using (t.Invoke(_prompt))
            {
                t.If(Model.Embed.Output.Sum() < 1e9, () => Model.LmHead.Next(2).Output.Save("a2"));
                t.Log("then");
            }
            using (t.Invoke(_other)) Model.Logits.Save("b0");
        }).AssertCompleted();
        Assert.Equal([1, 2, 40], run.Tensor("b0").Shape.ToArray());
        Assert.Equal([1, 1, 40], run.Tensor("a2").Shape.ToArray());
        using Trace trace = Model.Generate(_prompt, 3);
        trace.Iter.Each(_ => Assert.Throws<InvalidOperationException>(() => trace.Next()));
    }

    [Fact]
    public void ANextThatNeverComes_IsAMissedValue() =>
        Generate(_prompt, 2, t => Model.LmHead.Next(5).Output.Save()).AssertFailed(ErrorCode.MissedValue);

    private void Save(Trace t, IEnumerable<int> steps, string prefix = "")
    {
        foreach (int step in steps) Model.Logits.Save($"{prefix}{step}");
    }
}
