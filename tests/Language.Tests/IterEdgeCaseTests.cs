using Ndif.Engine;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Language.Tests;

/// <summary>nnsight's test_iter_edge_cases.py: modules that are called several times or never, and iterations past the end.</summary>
public sealed class IterEdgeCaseTests(ServiceFixture service) : LanguageTests(service)
{
    /// <summary>Calls one module three times, and another one only for large inputs.</summary>
    private sealed class Thrice : nn.Module<Tensor, Tensor>
    {
#pragma warning disable IDE1006 // TorchSharp registers a module under the name of its field
        private readonly nn.Module<Tensor, Tensor> linear = new Double(), rare = new Double();
#pragma warning restore IDE1006

        public Thrice() : base(nameof(Thrice)) => RegisterComponents();

        public override Tensor forward(Tensor x)
        {
            for (int i = 0; i < 3; i++) x = linear.call(x);
            return x.sum().item<float>() > 1e6 ? rare.call(x) : x;
        }
    }

    private sealed class Double : nn.Module<Tensor, Tensor>
    {
        public Double() : base(nameof(Double)) { }

        public override Tensor forward(Tensor x) => x * 2;
    }

    private static readonly Thrice _module = new();

    private async Task<T> RunAsync<T>(ExecutionMode mode, float start, Func<NNsight, Trace, T> experiment)
    {
        using Tensor input = full(1, 4, start);
        var model = new NNsight(_module);
        using Trace t = model.Trace(input, Backend(mode));
        T result = experiment(model, t);
        await t.RunAsync(Cancel);
        return result;
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_iter_edge_cases/TestRecurrentInnerIter.test_iter_indexes_inner_calls_within_one_trace",
        "test_iter_edge_cases/TestRecurrentInnerIter.test_iter_specific_inner_call")]
    public async Task AnIteration_CountsTheCallsOfAModule(ExecutionMode mode)
    {
        List<Saved> all = await RunAsync(mode, 1, (model, t) => t.Iter[0..3].Select(_ => model["linear"].Output.Save()).ToList());
        Assert.Equal([2f, 4, 8], all.Select(x => x.Tensor[0, 0].Item<float>()));
        List<Saved> one = await RunAsync(mode, 1, (model, t) => t.Iter[1].Select(_ => model["linear"].Output.Save()).ToList());
        Assert.Equal(4, Assert.Single(one).Tensor[0, 0].Item<float>());
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_iter_edge_cases/TestRecurrentInnerIter.test_iter_modifies_specific_inner_call")]
    public async Task AnEditOfOneCall_ReachesTheNext(ExecutionMode mode)
    {
        (Saved third, Saved output) = await RunAsync(mode, 1, (model, t) =>
        {
            foreach (int _ in t.Iter[1]) model["linear"].Output[..] = 1;
            Saved third = null!;
            foreach (int _ in t.Iter[2]) third = model["linear"].Output.Save();
            return (third, model.Output.Save());
        });
        Assert.Equal(2, third.Tensor[0, 0].Item<float>());
        Assert.Equal(2, output.Tensor[0, 0].Item<float>());
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_iter_edge_cases/TestBranchedIter.test_unfired_branch_raises_missed_provider",
        "test_iter_edge_cases/TestBranchedIter.test_fired_branch_works")]
    public async Task AModuleOfABranchNotTaken_IsMissed(ExecutionMode mode)
    {
        Saved rare = await RunAsync(mode, 1e6f, (model, _) => model["rare"].Output.Save());
        Assert.Equal(16e6f, rare.Tensor[0, 0].Item<float>());
        var missed = await Assert.ThrowsAsync<MissedValueException>(() => RunAsync(mode, 1, (model, _) => model["rare"].Output.Save()));
        Assert.Contains("`rare.output` (call 0) was not provided: it was called 0 times", missed.Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_iter_edge_cases/TestIterPastLength.test_bounded_slice_past_length_warns_and_locals_lost")]
    public async Task StepsPastTheEnd_AreAWarning_AndWhatWasSavedStays(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        List<string> warnings = [];
        using Trace t = llm.Generate(NewYork, maxNewTokens: 2);
        t.OnWarning = warnings.Add;
        Saved first = llm.LmHead.Output[0, ^1].ArgMax(-1).Save(), missed = null!;
        foreach (int step in t.Iter[5..7]) missed = llm.LmHead.Output.Save();
        Saved after = t.Result.Save();
        await t.RunAsync(Cancel);
        Assert.Equal(" New", llm.Tokenizer.Decode(first));
        Assert.False(missed.HasValue);
        Assert.True(after.HasValue);
        string warning = Assert.Single(warnings);
        Assert.Contains("The iteration asked for", warning, StringComparison.Ordinal);
        Assert.Contains("IterEdgeCaseTests.cs:", warning, StringComparison.Ordinal);
        Assert.Contains("step 5 did not happen", warning, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_iter_edge_cases/TestIterPastLength.test_iter_past_length_no_module_access_runs_body")]
    public async Task AStepThatUsesNoModule_RunsAnyway(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        List<string> warnings = [], logs = [];
        using Trace t = llm.Generate(NewYork, maxNewTokens: 2);
        (t.OnWarning, t.OnLog) = (warnings.Add, logs.Add);
        foreach (int step in t.Iter[5]) t.Log("step", step);
        await t.RunAsync(Cancel);
        Assert.Equal(["step 5"], logs);
        Assert.Empty(warnings);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_iter_edge_cases/TestIterUnboundedTrailing.test_trailing_pure_python_after_iter_runs",
        "test_debug/TestIteratorFootgun.test_code_after_unbounded_iter_not_executed")]
    public async Task CodeAfterAnUnboundedIteration_Runs(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        List<string> logs = [];
        using Trace t = llm.Generate(NewYork, maxNewTokens: 3);
        t.OnLog = logs.Add;
        ValueList tokens = t.List();
        t.Iter.Each(_ => tokens.Append(llm.LmHead.Output[0, ^1].ArgMax(-1)));
        t.Log("after", tokens.Len());
        Saved result = t.Result.Save();
        await t.RunAsync(Cancel);
        Assert.Equal(["after 3"], logs);
        Assert.EndsWith(" New York City", llm.Tokenizer.Decode(result), StringComparison.Ordinal);
        using Trace plain = llm.Trace(Paris); // not a generation, so each module is called once
        foreach (int _ in plain.Iter[..]) llm.Layers[0].Hidden[..] = 0;
        Saved last = llm.Layers[1].Hidden.Save();
        await plain.RunAsync(Cancel);
        Assert.True(last.HasValue);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_iter_edge_cases/TestIterUnboundedTrailing.test_trailing_module_access_after_iter_raises")]
    public async Task AModuleAfterAnUnboundedIteration_IsTooLate(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(NewYork, maxNewTokens: 3);
        t.Iter.Each(_ => t.Log(llm.LmHead.Output.Shape));
        t.OnLog = _ => { };
        llm.Layers[0].Output.Save();
        var late = await Assert.ThrowsAsync<OutOfOrderException>(() => t.RunAsync(Cancel));
        Assert.Contains("`transformer.h.0.output`", late.Message, StringComparison.Ordinal);
    }
}
