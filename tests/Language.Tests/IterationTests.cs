namespace Ndif.Language.Tests;

/// <summary>nnsight's test_lm.py, TestIteration, and the iterations in its other tests.</summary>
public sealed class IterationTests(ServiceFixture service) : LanguageTests(service)
{
    private static List<Saved> Tokens(LanguageModel llm, IEnumerable<int> steps) =>
        [.. steps.Select(_ => llm.LmHead.Output[0, ^1].ArgMax(-1).Save())];

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestIteration.test_iter_and_all", "test_lm/TestIteration.test_iter_with_block",
        "test_remote/TestGeneration.test_generate_with_iter")]
    public async Task AllSteps_GiveTheTokensOfTheGeneration(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(NewYork, maxNewTokens: 3);
        List<Saved> tokens = Tokens(llm, t.Iter[..]);
        await t.RunAsync(Cancel);
        Assert.Equal([" New", " York", " City"], llm.Tokenizer.BatchDecode(tokens));
        using Trace each = llm.Generate(NewYork, maxNewTokens: 3);
        ValueList list = each.List();
        each.Iter.Each(_ => list.Append(llm.LmHead.Output[0, ^1].ArgMax(-1)));
        Saved saved = list.Save();
        await each.RunAsync(Cancel);
        Assert.Equal([" New", " York", " City"], Tensors(saved).Select(id => llm.Tokenizer.Decode(id)));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestIteration.test_iter_slice", "test_lm/TestIteration.test_iter_idx",
        "test_iter_edge_cases/TestIterBoundedSlice.test_bounded_slice_runs_twice",
        "test_iter_edge_cases/TestIterBoundedSlice.test_bounded_slice_full_range")]
    public async Task StepsAreChosen_ByRangeNumberStrideAndList(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        (Func<Trace, IEnumerable<int>> Steps, string[] Expected)[] cases =
        [
            (t => t.Iter[1..3], [" York", " City"]), (t => t.Iter[0..3], [" New", " York", " City"]), (t => t.Iter[..2], [" New", " York"]),
            (t => t.Iter[0], [" New"]), (t => t.Iter[2], [" City"]), (t => t.Iter[.., 2], [" New", " City"]),
            (t => t.Iter[[0, 2]], [" New", " City"]),
        ];
        foreach (var (steps, expected) in cases)
        {
            using Trace t = llm.Generate(NewYork, maxNewTokens: 3);
            List<Saved> tokens = Tokens(llm, steps(t));
            await t.RunAsync(Cancel);
            Assert.Equal(expected, llm.Tokenizer.BatchDecode(tokens));
        }
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestIteration.test_batched_iter", "test_iter_edge_cases/TestIterCrossInvoke.test_two_invokes_independent_iter",
        "test_iter_edge_cases/TestIterCrossInvoke.test_two_invokes_different_iter_ranges")]
    public async Task EachInvoke_HasAnIterationOfItsOwn(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(maxNewTokens: 3);
        List<Saved> first, second;
        using (t.Invoke(NewYork)) first = Tokens(llm, t.Iter[..]);
        using (t.Invoke(Paris)) second = Tokens(llm, t.Iter[1..2]);
        await t.RunAsync(Cancel);
        Assert.Equal([" New", " York", " City"], llm.Tokenizer.BatchDecode(first));
        Assert.Equal(["."], llm.Tokenizer.BatchDecode(second));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestIteration.test_iter_and_skip")]
    public async Task AModule_IsSkippedInEachStep(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(NewYork, maxNewTokens: 3);
        List<(Saved In, Saved Out)> steps = [];
        foreach (int step in t.Iter[..])
        {
            Value first = llm.Layers[0].Output;
            llm.Layers[1].Skip(first);
            steps.Add((first[0].Save(), llm.Layers[1].Output[0].Save()));
        }
        await t.RunAsync(Cancel);
        Assert.Equal(3, steps.Count);
        Assert.All(steps, step => Same(step.In, step.Out));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestIteration.test_iter_with_promptless_invokers")]
    public async Task AnEmptyInvoke_IteratesOverAllRows(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(maxNewTokens: 2);
        List<Saved> all = [];
        using (t.Invoke(NewYork)) { }
        using (t.Invoke(Paris)) { }
        using (t.Invoke())
            foreach (int _ in t.Iter[..]) all.Add(llm.LmHead.Output[.., ^1].ArgMax(-1).Save());
        await t.RunAsync(Cancel);
        Assert.Equal([" New Paris", " York."], all.Select(ids => llm.Tokenizer.Decode(ids)));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestIteration.test_slice_iter_with_envoy_called_before")]
    public async Task AModuleReadBeforeTheIteration_IsReadInItAgain(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(NewYork, maxNewTokens: 3);
        Saved prompt = llm.LmHead.Output.Save();
        List<Saved> tokens = Tokens(llm, t.Iter[1..3]);
        await t.RunAsync(Cancel);
        Assert.Equal(" New", Next(llm, prompt));
        Assert.Equal([" York", " City"], llm.Tokenizer.BatchDecode(tokens));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestIteration.test_iter_with_batched_interventions")]
    public async Task AnInterventionInOneInvokesSteps_LeavesTheOtherAlone(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(maxNewTokens: 3);
        List<Saved> changed = [], clean;
        using (t.Invoke("The Eiffel Tower is in"))
        {
            foreach (int step in t.Iter[..])
            {
                if (step == 2) llm.Layers[0].Hidden[..] = 0;
                changed.Add(llm.LmHead.Output[0, ^1].ArgMax(-1).Save());
            }
        }
        using (t.Invoke(NewYork)) clean = Tokens(llm, t.Iter[..]);
        await t.RunAsync(Cancel);
        Assert.Equal([" New", " York", " City"], llm.Tokenizer.BatchDecode(clean));
        Assert.Equal([" the", " middle", " glass"], llm.Tokenizer.BatchDecode(changed));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestIteration.test_iter_module")]
    public async Task EachStep_MayReadAnotherLayer(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(NewYork, maxNewTokens: 3);
        List<Saved> hidden = [];
        foreach (int step in t.Iter[..]) hidden.Add(llm.Layers[step].Hidden.Save());
        await t.RunAsync(Cancel);
        Assert.Equal([9L, 1, 1], hidden.Select(h => h.Tensor.Shape[1]));
    }
}
