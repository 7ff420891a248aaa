namespace Ndif.Language.Tests;

/// <summary>nnsight's test_lm.py, TestInvokerBatching, and its serve and vLLM tests of several prompts.</summary>
public sealed class BatchingTests(ServiceFixture service) : LanguageTests(service)
{
    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestInvokerBatching.test_invoker_group_batching")]
    public async Task GroupsOfPrompts_AreOneBatch_AndAnEmptyInvokeSeesAllOfIt(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        string[] two = [Paris, Rome];
        using Trace t = llm.Trace();
        Saved one, pair, all, single, everything;
        using (t.Invoke(NewYork)) one = llm.LmHead.Output[.., ^1].Save();
        using (t.Invoke(two)) pair = llm.LmHead.Output[.., ^1].Save();
        using (t.Invoke()) all = llm.LmHead.Output[.., ^1].Save();
        using (t.Invoke()) everything = llm.LmHead.Output[.., ^1].Clone().Save();
        using (t.Invoke("Hello")) single = llm.LmHead.Output[.., ^1].Save();
        await t.RunAsync(Cancel);
        Assert.Equal([1L, 2, 4, 4, 1], ((Saved[])[one, pair, all, everything, single]).Select(s => s.Tensor.Shape[0]));
        Same(one, all.Tensor[..1]);
        Same(pair, all.Tensor[1..3]);
        Same(single, everything.Tensor[3..]);
        Assert.Equal([" New", " Paris", " Rome", "!"], Enumerable.Range(0, 4)
            .Select(row => llm.Tokenizer.Decode(all.Tensor[row].ArgMax())));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestInvokerBatching.test_invoke_list_attention_mask", "test_serve/TestBatching.test_two_different_prompts",
        "test_vllm/TestBatching.test_batched_multi_token_with_iter")]
    public async Task APrompt_GivesTheSame_AloneInAListAndBesideOthers(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        string[] prompts = ["Hello", NewYork, Rome];
        TensorData[] alone = await Task.WhenAll(prompts.Select(async p => (await LogitsAsync(llm, p)).Tensor[0, ^1]));
        Saved list = await LogitsAsync(llm, prompts);
        using Trace invokes = llm.Trace();
        List<Saved> each = [];
        foreach (string prompt in prompts)
            using (invokes.Invoke(prompt)) each.Add(llm.LmHead.Output[0, ^1].Save());
        await invokes.RunAsync(Cancel);
        using Trace mixed = llm.Trace();
        Saved first, others;
        using (mixed.Invoke(prompts[0])) first = llm.LmHead.Output[.., ^1].Save();
        using (mixed.Invoke(prompts[1..])) others = llm.LmHead.Output[.., ^1].Save();
        await mixed.RunAsync(Cancel);
        for (int i = 0; i < prompts.Length; i++)
        {
            Near(alone[i], list.Tensor[i, ^1]);
            Near(alone[i], each[i]);
            Near(alone[i], i == 0 ? first.Tensor[0] : others.Tensor[i - 1]);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestInvokerBatching.test_invoker_input_ids")]
    public async Task AnInvoke_ReadsItsOwnTokenIds(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace();
        Saved one, other;
        using (t.Invoke(Paris)) one = llm.Inputs.Kwargs["input_ids"].Save();
        using (t.Invoke("Hello")) other = llm.Inputs.Kwargs["input_ids"].Save();
        await t.RunAsync(Cancel);
        Assert.Equal(llm.Tokenizer.Encode(Paris), one.ToArray<int>());
        Assert.Equal(llm.Tokenizer.Encode("Hello"), other.ToArray<int>());
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_0516_features/TestMultiInvoker.test_multiple_invokers_independent")]
    public async Task Invokes_ReadDifferentLayers(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace();
        Saved late, early;
        using (t.Invoke("Hello")) late = llm.Layers[3].Hidden.Save();
        using (t.Invoke("World")) early = llm.Layers[0].Hidden.Save();
        await t.RunAsync(Cancel);
        Assert.Equal(128, late.Tensor.Shape[^1]);
        Assert.NotEqual(late.Tensor[0, 0].Norm().Item<float>(), early.Tensor[0, 0].Norm().Item<float>());
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_0516_features/TestMultiInvoker.test_generate_with_invokers")]
    public async Task AGenerationOfInvokes_GoesOnWithEach(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(maxNewTokens: 2);
        Saved paris, rome;
        using (t.Invoke(Paris)) paris = t.Result.Save();
        using (t.Invoke(Rome)) rome = t.Result.Save();
        await t.RunAsync(Cancel);
        Assert.EndsWith(" Paris.", llm.Tokenizer.Decode(paris), StringComparison.Ordinal);
        Assert.EndsWith(" Rome.", llm.Tokenizer.Decode(rome), StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_serve/TestCrossInvokeSharedState.test_shared_list_across_invokes",
        "test_vllm/TestCrossInvokeSharedState.test_shared_list_across_invokes")]
    public async Task OneList_IsFilledBySeveralInvokes(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace();
        ValueList tokens = t.List();
        using (t.Invoke(Paris)) tokens.Append(llm.LmHead.Output[0, ^1].ArgMax(-1));
        using (t.Invoke(Rome)) tokens.Append(llm.LmHead.Output[0, ^1].ArgMax(-1));
        Saved saved = tokens.Save();
        await t.RunAsync(Cancel);
        Assert.Equal([" Paris", " Rome"], Tensors(saved).Select(id => llm.Tokenizer.Decode(id)));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_vllm/TestCrossInvokeSharedState.test_shared_list_multi_token")]
    public async Task OneList_IsFilledInEveryStepOfSeveralInvokes(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(maxNewTokens: 2);
        ValueList tokens = t.List();
        foreach (string prompt in (string[])[Paris, Rome])
        {
            using (t.Invoke(prompt))
                foreach (int _ in t.Iter[..]) tokens.Append(llm.LmHead.Output[0, ^1].ArgMax(-1));
        }
        Saved saved = tokens.Save();
        await t.RunAsync(Cancel);
        Assert.Equal([" Paris", " Rome", ".", "."], Tensors(saved).Select(id => llm.Tokenizer.Decode(id)));
    }
}
