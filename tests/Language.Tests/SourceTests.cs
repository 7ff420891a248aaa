using Ndif.Protocol;

namespace Ndif.Language.Tests;

/// <summary>nnsight's test_source.py, TestSource of its test_lm.py, and TestSourceMidIterLimitation.</summary>
public sealed class SourceTests(ServiceFixture service) : LanguageTests(service)
{
    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestSource.test_source_output", "test_source/TestSourceAccess.test_source_output",
        "test_lm/TestSource.test_source_imported_function")]
    public async Task AnOperationsOutput_IsWhatTheForwardGoesOnWith(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Assert.Contains("attention_interface_0", llm.Layers[0].Attn.Source.ToString(), StringComparison.Ordinal);
        using Trace t = llm.Trace(Paris);
        Saved attention = llm.Layers[0].Attn.Source["attention_interface_0"].Output[0].Save();
        Saved next = llm.Layers[0].Attn["c_proj"].Input.Save();
        await t.RunAsync(Cancel);
        Assert.Equal(next.ToArray<float>(), attention.ToArray<float>());
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestSource.test_source_inputs", "test_source/TestSourceAccess.test_source_inputs")]
    public async Task AnOperationsInputs_AreItsArguments(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Operation attention = llm.Layers[0].Attn.Source["attention_interface_0"];
        using Trace t = llm.Trace(Paris);
        Saved projected = llm.Layers[0].Attn["c_attn"].Output.Save(), split = llm.Layers[0].Attn.Source["split_0"].Input.Save();
        Inputs inputs = attention.Inputs;
        Saved query = inputs.Args[0].Save(), key = inputs.Args[1].Save(), first = attention.Input.Save();
        await t.RunAsync(Cancel);
        Same(projected, split);
        Same(query, first);
        Assert.Equal(query.Tensor.Shape.ToArray(), key.Tensor.Shape.ToArray());
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestSource.test_multiple_source", "test_source/TestSourceAccess.test_multiple_source_across_layers")]
    public async Task OperationsOfSeveralModules_AreReadInOneTrace(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        Saved[] queries = [.. llm.Layers.Select(layer => layer.Attn.Source["q"].Output.Save())];
        Saved sum = llm.Layers[^1].Source["add_1"].Output.Save(), hidden = llm.Layers[^1].Hidden.Save();
        await t.RunAsync(Cancel);
        Assert.Equal(4, queries.Select(q => q.Tensor.Checksum()).Distinct().Count());
        Same(sum, hidden);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestSource.test_recursive_source", "test_source/TestSourceAccess.test_recursive_source")]
    public async Task TheFunctionThatAnOperationCalls_HasASourceToo(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        Saved softmax = llm.Layers[0].Attn.Source["attention_interface_0"].Source["softmax_0"].Output.Save();
        Saved probabilities = llm.Layers[0].Attn.Output[1].Save();
        await t.RunAsync(Cancel);
        Same(softmax, probabilities);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestSource.test_source_patching", "test_source/TestSourceIntervention.test_source_patching")]
    public async Task APatchedOperation_ChangesWhatFollows(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        TensorData plain = await LogitsAsync(llm, Paris);
        using Trace t = llm.Trace(Paris);
        llm.Layers[0].Attn.Source["attention_interface_0"].Output[0][..] = 0;
        Saved zeroed = llm.Layers[0].Attn["c_proj"].Input.Save(), logits = llm.LmHead.Output.Save();
        await t.RunAsync(Cancel);
        Zero(zeroed);
        Assert.False(plain.SameAs(logits));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestSource.test_source_safe_intervention",
        "test_source/TestSourceIntervention.test_source_does_not_affect_plain_forward",
        "test_source/TestSourceWrapperChain.test_source_then_trace_works", "test_lm/TestSource.test_operation_envoy_update")]
    public async Task LookingAtASource_ChangesNothing(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        TensorData before = await LogitsAsync(llm, Paris);
        using (Trace t = llm.Trace(Paris))
        {
            llm.Layers[0].Attn.Source["attention_interface_0"].Output[0].Save();
            Saved watched = llm.LmHead.Output.Save();
            await t.RunAsync(Cancel);
            Near(before, watched, 1e-4); // without hooks inside, attention is fused and rounds differently
        }
        Same(before, await LogitsAsync(llm, Paris));
        Same(before, await LogitsAsync(Model(mode), Paris));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestSource.test_source_operation_not_found", "test_source/TestSourceErrors.test_nonexistent_operation_raises")]
    public void AnUnknownOperation_IsRefused_WithTheNearest(ExecutionMode mode)
    {
        var error = Assert.Throws<BadProgramException>(() => Model(mode).Layers[0].Attn.Source["attention_interface"]);
        Assert.Equal(ErrorCode.UnknownOp, error.Code);
        Assert.Contains("Did you mean `attention_interface_0`?", error.Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestSource.test_source_output_with_barrier")]
    public async Task AnOperationOfOneInvoke_IsPatchedIntoAnother(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Operation attention = llm.Layers[1].Attn.Source["attention_interface_0"];
        using Trace t = llm.Trace();
        Barrier barrier = t.Barrier(2);
        Value clean;
        Saved from, to;
        using (t.Invoke(Paris))
        {
            clean = attention.Output[0][.., ^1];
            from = clean.Save();
            barrier.Wait();
        }
        using (t.Invoke(Rome))
        {
            barrier.Wait();
            attention.Output[0][.., ^1] = clean;
            to = llm.Layers[1].Attn["c_proj"].Input[.., ^1].Save();
        }
        await t.RunAsync(Cancel);
        Assert.Equal(from.ToArray<float>(), to.ToArray<float>());
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_source/TestSourceIter.test_iter_source_output_all_steps",
        "test_source/TestSourceIter.test_iter_source_input_all_steps",
        "test_source/TestSourceIter.test_iter_recursive_source",
        "test_iter_edge_cases/TestSourceMidIterLimitation.test_source_built_pre_iter_works")]
    public async Task EveryStep_GivesItsOutputAndInput_AlsoRecursively(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Source source = llm.Layers[0].Attn.Source;
        using Trace t = llm.Generate(Paris, maxNewTokens: 3);
        List<Saved> inputs = [], probabilities = [], outputs = [];
        foreach (int _ in t.Iter[..])
        {
            inputs.Add(source["split_0"].Input.Shape.Save());
            probabilities.Add(source["attention_interface_0"].Source["softmax_0"].Output.Shape.Save());
            outputs.Add(source["attention_interface_0"].Output[0].Shape.Save());
        }
        await t.RunAsync(Cancel);
        long tokens = llm.Tokenizer.Encode(Paris).Count;
        for (int step = 0; step < 3; step++)
        {
            long now = step == 0 ? tokens : 1;
            Assert.Equal([1, now, 384], Numbers(inputs[step]));
            Assert.Equal([1, 4, now, tokens + step], Numbers(probabilities[step]));
            Assert.Equal([1, now, 4, 32], Numbers(outputs[step]));
        }
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_source/TestSourceIter.test_iter_source_specific_step", "test_source/TestSourceIter.test_iter_source_slice",
        "test_source/TestSourceIter.test_iter_source_sparse",
        "test_iter_edge_cases/TestSourceMidIterLimitation.test_source_built_mid_iter_misses_first")]
    public async Task OneStep_ASlice_AndAFewSteps_AreReadWhereTheyAre(ExecutionMode mode)
    {
        const string Prompt = "Hello there"; // the model does not end this text within five tokens
        LanguageModel llm = Model(mode);
        List<Saved> one = [], slice = [], sparse = [];
        foreach (var (steps, into) in new[] { (1..2, one), (1..4, slice), (0..5, sparse) })
        {
            using Trace t = llm.Generate(Prompt, maxNewTokens: 5);
            foreach (int step in t.Iter[steps])
            {
                llm.Layers[0].Input.Norm().Save();
                // the source is first accessed in the middle of an iteration: nnsight misses that step
                if (into != sparse || step % 2 == 1) into.Add(llm.Layers[0].Attn.Source["probs"].Output.Shape.Save());
            }
            await t.RunAsync(Cancel);
        }
        long tokens = llm.Tokenizer.Encode(Prompt).Count;
        Assert.Equal([tokens + 1], one.Select(s => Numbers(s)[^1]));
        Assert.Equal([tokens + 1, tokens + 2, tokens + 3], slice.Select(s => Numbers(s)[^1]));
        Assert.Equal([tokens + 1, tokens + 3], sparse.Select(s => Numbers(s)[^1]));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_source/TestSourceIter.test_iter_source_intervention")]
    public async Task AnEditAtEveryStep_ChangesTheGeneration(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        long[][] ids = new long[2][];
        for (int edited = 0; edited < 2; edited++)
        {
            using Trace t = llm.Generate(Paris, maxNewTokens: 4);
            if (edited == 1)
                foreach (int _ in t.Iter[..])
                    foreach (Envoy layer in llm.Layers) layer.Attn.Source["attention_interface_0"].Output[0][..] = 3;
            Saved result = t.Result.Save();
            await t.RunAsync(Cancel);
            ids[edited] = result.ToArray<long>();
        }
        Assert.NotEqual(ids[0], ids[1]);
    }
}
