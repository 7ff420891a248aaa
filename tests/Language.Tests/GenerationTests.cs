namespace Ndif.Language.Tests;

/// <summary>nnsight's test_lm.py, TestGeneration and TestActivationModification, and the remote tests of the same features.</summary>
public sealed class GenerationTests(ServiceFixture service) : LanguageTests(service)
{
    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestGeneration.test_basic_generation", "test_remote/TestGeneration.test_basic_generate",
        "v0.4/test_lm/test_generation",
        "test_vllm/TestGeneration.test_multi_token_generation", "test_vllm/TestGeneration.test_max_token_generation",
        "test_vllm/TestGeneration.test_generate_alias", "test_vllm/TestGeneration.test_generate_max_new_tokens_kwarg")]
    public async Task AGeneration_GoesOnWithThePrompt(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(NewYork, maxNewTokens: 3);
        Saved ids = t.Result.Save();
        await t.RunAsync(Cancel);
        Assert.Equal("Madison Square Garden is located in the city of New York City", llm.Tokenizer.Decode(ids));
        Assert.Equal([1, 12], ids.Tensor.Shape.ToArray());
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestGeneration.test_save_hidden_states", "v0.4/test_lm/test_save",
        "test_remote/TestBasicRemote.test_save_hidden_states",
        "test_serve/TestBasicInference.test_hidden_state_capture")]
    public async Task HiddenStatesAndInputs_AreSaved(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace("Hello world");
        Saved hidden = llm["transformer.h.2"].Output[0].Save();
        Inputs inputs = llm["transformer.h.3"].Inputs;
        Saved argument = inputs.Args[0].Save(), mask = inputs.Kwargs.Save(), input = llm["transformer.h.3"].Input.Save();
        await t.RunAsync(Cancel);
        Same(hidden, argument);
        Same(hidden, input);
        Assert.IsType<Dictionary<string, object?>>(mask.Result, exactMatch: false);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_remote/TestBasicRemote.test_simple_trace", "test_local_simulation/test_basic_trace",
        "test_serve/TestBasicInference.test_logit_prediction",
        "test_vllm/TestBasicInference.test_single_logit", "test_0516_features/TestLocalSimulation.test_basic_local_simulation",
        "test_vllm_dispatch_bug/test_trace_without_dispatch")]
    public async Task TheLogits_SayWhatComesNext(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        (Saved logits, Saved output) =
            await llm.TraceAsync(Paris, _ => (llm.LmHead.Output.Save(), llm.Output["logits"].Save()), cancellationToken: Cancel);
        Assert.Equal(" Paris", Next(llm, logits));
        Same(logits, output);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_remote/TestBasicRemote.test_multiple_saves", "test_serve/TestBasicInference.test_multi_layer_capture")]
    public async Task ManyLayers_AreSavedAtOnce(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        List<Saved> layers =
            await llm.TraceAsync(Paris, _ => llm.Layers.Select(layer => layer.Hidden.Save()).ToList(), cancellationToken: Cancel);
        Assert.Equal(4, layers.Count);
        Assert.Equal(4, layers.Select(layer => layer.Tensor.Checksum()).Distinct().Count());
        Assert.All(layers, layer => Assert.Equal([1, 8, 128], layer.Tensor.Shape.ToArray()));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestActivationModification.test_inplace_modification", "v0.4/test_lm/test_set1",
        "test_remote/TestInterventions.test_zero_out_layer",
        "test_vllm/TestInterventions.test_basic_intervention", "test_serve/TestInterventions.test_zero_out_mlp_raises_clear_error")]
    public async Task AnEditInPlace_ReachesWhatIsReadLater(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        Saved before = llm.Layers[^1].Output[0].Clone().Save();
        llm.Layers[^1].Output[0][..] = 0;
        Saved after = llm.Layers[^1].Output[0].Save(), logits = llm.LmHead.Output.Save();
        await t.RunAsync(Cancel);
        NotZero(before);
        Zero(after);
        Assert.NotEqual(" Paris", Next(llm, logits));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestActivationModification.test_multiplication_modification", "v0.4/test_lm/test_set2", "v0.4/test_lm/test_set3")]
    public async Task AMultiplication_ChangesThePart_InEveryFormOfIt(ExecutionMode mode)
    {
        foreach (int form in (int[])[0, 1, 2])
        {
            LanguageModel llm = Model(mode);
            using Trace t = llm.Trace(Paris);
            Saved before = llm["transformer.wte"].Output.Clone().Save();
            switch (form)
            {
                case 0: llm["transformer.wte"].Output *= 0; break;
                case 1: llm["transformer.wte"].Output[..] *= 0; break;
                case 2: llm["transformer.wte"].Output.Mul_(0); break;
            }
            Saved after = llm["transformer.wte"].Output.Save();
            await t.RunAsync(Cancel);
            NotZero(before);
            Zero(after);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestActivationModification.test_cross_invoke_isolation", "v0.4/test_lm/test_set4", "v0.4/test_lm/test_set5",
        "test_vllm/TestBatching.test_batched_intervention")]
    public async Task AnEditOfOneInvoke_DoesNotReachAnother(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace();
        Saved edited, clean, editedLogits, cleanLogits;
        using (t.Invoke(Paris))
        {
            llm.Layers[1].Output[0][..] = 0;
            edited = llm.Layers[1].Hidden.Save();
            editedLogits = llm.LmHead.Output.Save();
        }
        using (t.Invoke(Rome))
        {
            clean = llm.Layers[1].Hidden.Save();
            cleanLogits = llm.LmHead.Output.Save();
        }
        await t.RunAsync(Cancel);
        Zero(edited);
        NotZero(clean);
        Assert.Equal(" Rome", Next(llm, cleanLogits));
        Assert.NotEqual(" Paris", Next(llm, editedLogits));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_serve/TestInterventions.test_swap_intervention", "test_vllm/TestInterventions.test_swap_intervention")]
    public async Task AReplacedOutput_ChangesThePrediction(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        llm.Layers[3].Mlp.Output = Op.ZerosLike(llm.Layers[3].Mlp.Output);
        llm.Layers[3].Hidden = Op.ZerosLike(llm.Layers[3].Hidden);
        Saved seen = llm.FinalNorm.Input.Save(), logits = llm.LmHead.Output.Save();
        await t.RunAsync(Cancel);
        Zero(seen);
        Assert.NotEqual(" Paris", Next(llm, logits));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_vllm/TestInterventions.test_generation_with_intervention", "v0.4/test_lm/test_conditional_interventions")]
    public async Task AnInterventionAtOneStep_ChangesTheTokensFromThere(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate("The Eiffel Tower is in", maxNewTokens: 5);
        List<Saved> tokens = [];
        foreach (int step in t.Iter[..])
        {
            if (step == 2) llm.Layers[0].Hidden[..] = 0;
            tokens.Add(llm.LmHead.Output[0, ^1].ArgMax(-1).Save());
        }
        await t.RunAsync(Cancel);
        Assert.Equal([" the", " middle", " glass", " ocean", " ticket"], llm.Tokenizer.BatchDecode(tokens));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestAdhocModules.test_logit_lens", "v0.4/test_lm/test_adhoc_module",
        "test_0516_features/TestCustomFunctions.test_custom_function_with_loop")]
    public async Task TheLogitLens_CallsModulesOnHiddenStates(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        List<Saved> lens = await llm.TraceAsync(NewYork,
            _ => llm.Layers.Select(layer => llm.LmHead.Call(llm.FinalNorm.Call(layer.Hidden))[0, ^1].ArgMax(-1).Save()).ToList(),
            cancellationToken: Cancel);
        Assert.Equal([" was", " New", " New", " New"], llm.Tokenizer.BatchDecode(lens));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestConditionals.test_conditional_intervention")]
    public async Task AnIntervention_HappensIfAValueSaysSo(ExecutionMode mode)
    {
        foreach (double threshold in (double[])[0, 1e9])
        {
            LanguageModel llm = Model(mode);
            using Trace t = llm.Trace(Paris);
            t.If(llm.Layers[1].Hidden.Norm() > threshold, () => llm.Layers[2].Hidden[..] = 0);
            Saved hidden = llm.Layers[2].Hidden.Save();
            await t.RunAsync(Cancel);
            if (threshold == 0) Zero(hidden);
            else NotZero(hidden);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestInputSetting.test_input_setting", "v0.4/test_lm/test_input_setting")]
    public async Task AModulesInputs_AreReplaced(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace();
        Saved first, second;
        Value hidden;
        using (t.Invoke(NewYork))
        {
            hidden = llm.Layers[0].Input;
            first = llm.LmHead.Output[0, ^1].ArgMax(-1).Save();
        }
        using (t.Invoke("_ _ _ _ _ _ _ _ _"))
        {
            llm.Layers[0].Inputs = new Inputs([hidden]);
            second = llm.LmHead.Output[0, ^1].ArgMax(-1).Save();
        }
        await t.RunAsync(Cancel);
        Assert.Equal(" New", llm.Tokenizer.Decode(first));
        Assert.Equal(" New", llm.Tokenizer.Decode(second));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestEmbeddings.test_embedding_transfer_with_barrier", "v0.4/test_lm/test_embeddings_set1")]
    public async Task EmbeddingsOfOnePrompt_GoIntoAnother_AtABarrier(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(maxNewTokens: 3);
        Barrier barrier = t.Barrier(2);
        Value embeddings;
        Saved first, second;
        using (t.Invoke(NewYork))
        {
            embeddings = llm["transformer.wte"].Output;
            barrier.Wait();
            first = t.Result.Save();
        }
        using (t.Invoke("_ _ _ _ _ _ _ _ _"))
        {
            barrier.Wait();
            llm["transformer.wte"].Output = embeddings;
            second = t.Result.Save();
        }
        await t.RunAsync(Cancel);
        Assert.Equal("Madison Square Garden is located in the city of New York City", llm.Tokenizer.Decode(first));
        Assert.Equal("_ _ _ _ _ _ _ _ _ New York City", llm.Tokenizer.Decode(second));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestEmbeddings.test_embedding_transfer_separate_traces", "v0.4/test_lm/test_embeddings_set2")]
    public async Task EmbeddingsOfOneTrace_GoIntoTheNext(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Saved embeddings = await llm.TraceAsync(NewYork, _ => llm.Embed.Output.Save(), cancellationToken: Cancel);
        using Trace t = llm.Generate("_ _ _ _ _ _ _ _ _", maxNewTokens: 3);
        llm.Embed.Output = embeddings.Tensor;
        Saved ids = t.Result.Save();
        await t.RunAsync(Cancel);
        Assert.Equal("_ _ _ _ _ _ _ _ _ New York City", llm.Tokenizer.Decode(ids));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestGradients.test_external_tensors", "v0.4/test_lm/test_other_device_tensors",
        "test_remote/TestTensorBestPractices.test_detach_cpu_save")]
    public async Task ATensorOfTheClient_IsPartOfTheExperiment(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        TensorData weight = TensorData.Randn([128, 64], seed: 3), bias = TensorData.Full([64], 2, DType.Float64);
        using Trace t = llm.Trace(Paris);
        Saved mapped = (llm.Layers[1].Hidden.MatMul(weight) + bias.To(DType.Float32)).Detach().Save(), hidden = llm.Layers[1].Hidden.Save();
        await t.RunAsync(Cancel);
        Near(hidden.Tensor[0].MatMul(weight) + 2, mapped.Tensor[0], 1e-3);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("v0.4/test_lm/test_parameter_protocol", "v0.4/test_lm/test_parameter_protocol_meta",
        "v0.4/test_lm/test_parameter_protocol_result", "v0.4/test_lm/test_parameter_protocol_safety")]
    public async Task AParameter_IsReadAsACopy(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        Value weight = llm.LmHead.Parameter("weight");
        Saved original = weight.Clone().Save();
        Saved product = llm.FinalNorm.Output.MatMul(weight.T()).Save();
        weight[..] = 0;
        Saved logits = llm.LmHead.Output.Save();
        await t.RunAsync(Cancel);
        Near(product, logits, 1e-3);
        Saved again = await llm.TraceAsync(Paris, _ => llm.LmHead.Parameter("weight").Save(), cancellationToken: Cancel);
        Same(original, again);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_0516_features/TestCustomFunctions.test_custom_analysis_function",
        "test_0516_features/TestLocalSimulation.test_local_simulation_with_custom_function")]
    public async Task AFunctionOfTheUsers_IsInlined(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        (Saved normalized, Saved hidden) =
            await llm.TraceAsync(Paris, _ => (Normalized(llm.Layers[1].Hidden).Save(), llm.Layers[1].Hidden.Save()),
                cancellationToken: Cancel);
        TensorData last = hidden.Tensor[0, ^1];
        Near(last / last.Norm().Item<double>(), normalized.Tensor[0, ^1], 1e-5);

        static Value Normalized(Value x) => x / x.Norm(dim: -1, keepdim: true);
    }

    /// <summary>The model has 128 positions.</summary>
    [Theory, MemberData(nameof(Modes))]
    public async Task ARowThatReachesTheLastPosition_FailsThere_AndWhatWasSavedBeforeStays(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(Enumerable.Repeat(7, 126).ToArray(), maxNewTokens: 50, new() { IgnoreEos = true });
        List<Saved> steps = [];
        foreach (int _ in t.Iter[0..5]) steps.Add(llm.Logits[.., ^1].Save());
        var failed = await Assert.ThrowsAsync<IndexOutOfRangeException>(() => t.RunAsync(Cancel));
        Assert.Contains("Step 3 of the generation needs position 128", failed.Message, StringComparison.Ordinal);
        Assert.Contains("Ask for at most 3 new tokens", failed.Message, StringComparison.Ordinal);
        Assert.Equal([true, true, true, false, false], steps.Select(step => step.HasValue));
    }
}
