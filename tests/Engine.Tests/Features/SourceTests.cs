using Ndif.Engine.Tests.Support;
using Ndif.Protocol;
using Ndif.Protocol.Programs;


namespace Ndif.Engine.Tests.Features;

/// <summary>
/// Operations inside of modules, on the bundled model: nnsight's TestSource of test_lm.py, and TestSourceAccess, TestSourceIntervention and
/// related classes of test_source.py.
/// </summary>
public sealed class SourceTests
{
    private const string Prompt = "The Eiffel Tower is in the city of";

    public static TheoryData<string> All => Backends.All;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public void TheForwardsLines_AreListed_WithTheirOperations_WithoutWeights()
    {
        LanguageModel llm = Backends.Model("local");
        string text = llm.Layers[0].Attn.Source.ToString();
        foreach (string name in (string[])["self_c_attn_0", "split_0", "attention_interface_0", "self_c_proj_0", "self_resid_dropout_0"])
            Assert.Contains(name, text, StringComparison.Ordinal);
        string split = text.Split('\n').First(l => l.Contains("_cAttn", StringComparison.Ordinal));
        Assert.Matches(@"^ self_c_attn_0 +-> \d+ ", split);
        Assert.Contains("self_attn_0", llm.Layers[0].Source.ToString(), StringComparison.Ordinal);
        Assert.Equal(["self_ln_1_0", "self_attn_0", "add_0", "self_ln_2_0", "self_mlp_0", "add_1"],
            llm.Layers[0].Source.Operations.Select(o => o.Name));
    }

    [Fact]
    public void OneOperation_IsShownWithinItsLines()
    {
        Operation operation = Backends.Model("local").Layers[0].Attn.Source["attention_interface_0"];
        Assert.Contains("\n --> ", operation.ToString(), StringComparison.Ordinal);
        Assert.Matches(@"--> \d+ .*EagerAttention\.Forward", operation.ToString());
        Assert.Equal("[batch, seq, heads, headDim] [batch, heads, seq, kvSeq]", operation.Shape);
    }

    [Fact]
    public void AnUnknownOperation_IsRefused_WithTheNearestAndAll()
    {
        Source source = Backends.Model("local").Layers[0].Attn.Source;
        var error = Assert.Throws<BadProgramException>(() => source["attention_interface_1"]);
        Assert.Equal(ErrorCode.UnknownOp, error.Code);
        Assert.Contains("`transformer.h.0.attn` has no operation `attention_interface_1`", error.Message, StringComparison.Ordinal);
        Assert.Contains("Did you mean `attention_interface_0`", error.Message, StringComparison.Ordinal);
        Assert.Contains("self_c_attn_0, split_0", error.Message, StringComparison.Ordinal);
        Assert.Contains("probs", error.Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(All))]
    public async Task AnUnknownOperation_OfAProgram_IsRefusedBeforeItRuns(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Trace(Prompt);
        llm.Layers[0].Attn.Source["split_0"].Output.Save();
        t.ToProgram().Nodes.Select(n => n.Read).First(r => r is not null).Site.Operation = "splat_0";
        var error = ProgramValidator.Validate(t.ToProgram(), llm.Description, ProgramValidator.LocalLimits);
        Assert.Equal(ErrorCode.UnknownOp, error?.Code);
        Assert.Contains("Did you mean `split_0`", error!.Hint, StringComparison.Ordinal);
        await Task.CompletedTask;
    }

    [Fact]
    public void TheSourceOfASubmodulesCall_IsTheSubmodules()
    {
        Source source = Backends.Model("local").Layers[0].Attn.Source;
        var error = Assert.Throws<BadProgramException>(() => source["self_c_attn_0"].Source);
        Assert.Contains(
            "Don't call .Source on a module (transformer.h.0.attn.c_attn) from within another .Source. Call it directly with: "
            + "transformer.h.0.attn.c_attn.Source",
            error.Message, StringComparison.Ordinal);
        Assert.Contains("has no source", Assert.Throws<BadProgramException>(() => source["split_0"].Source).Message,
            StringComparison.Ordinal);
        Assert.Contains("list of modules", Assert.Throws<BadProgramException>(() => Backends.Model("local").Layers.Source).Message,
            StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(All))]
    public async Task AnOutput_AndInputs_AreWhatTheModulesAroundThemGive(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        Envoy attn = llm.Layers[0].Attn;
        using Trace t = llm.Trace(Prompt);
        Saved projected = attn["c_attn"].Output.Save();
        Saved operation = attn.Source["self_c_attn_0"].Output.Save();
        Saved input = attn.Source["split_0"].Input.Save();
        Saved parts = attn.Source["split_0"].Output.Save();
        Inputs given = attn.Source["attention_interface_0"].Inputs;
        Saved query = given.Args[0].Save();
        Saved attention = attn.Source["attention_interface_0"].Output[0].Save(),
            probabilities = attn.Source["attention_interface_0"].Output[1].Save();
        Saved output = attn["c_proj"].Input.Save(), second = attn.Output[1].Save();
        await t.RunAsync(Cancellation);
        TensorAssert.Same(projected, operation);
        TensorAssert.Same(projected, input);
        Assert.Equal(3, ((IReadOnlyList<object?>)parts.Result!).Count);
        long tokens = projected.Tensor.Shape[1];
        Assert.Equal([1, 4, tokens, 32], query.Tensor.Shape.ToArray());
        Assert.Equal([1, tokens, 4, 32], attention.Tensor.Shape.ToArray());
        Assert.Equal(output.Tensor.ToArray<float>(), attention.Tensor.ToArray<float>());
        TensorAssert.Same(second, probabilities);
    }

    [Theory, MemberData(nameof(All))]
    public async Task OperationsOfSeveralLayers_AreReadInOneTrace(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Trace(Prompt);
        Saved[] all = [.. llm.Layers.Select(l => l.Attn.Source["attention_interface_0"].Output[0].Save())];
        await t.RunAsync(Cancellation);
        Assert.Equal(4, all.Length);
        TensorAssert.NotEqual(all[0], all[1]);
    }

    [Theory, MemberData(nameof(All))]
    public async Task RecursiveSource_ReachesTheSoftmax_AndLabelsReachItToo(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        Source source = llm.Layers[1].Attn.Source;
        using Trace t = llm.Trace(Prompt);
        Saved scores = source["scores"].Output.Save();
        Saved input = source["attention_interface_0"].Source["softmax_0"].Input.Save();
        Saved softmax = source["attention_interface_0"].Source["softmax_0"].Output.Save();
        Saved probs = source["probs"].Output.Save();
        Saved z = source["attention_interface_0"].Source["mix_0"].Source["z"].Output.Save();
        await t.RunAsync(Cancellation);
        TensorAssert.Same(scores, input);
        TensorAssert.Same(softmax, probs);
        Assert.Equal([1, 4, probs.Tensor.Shape[2], 32], z.Tensor.Shape.ToArray());
        foreach (float sum in probs.Tensor.Sum(-1).ToArray<float>()) Assert.Equal(1, sum, 1e-5);
    }

    [Theory, MemberData(nameof(All))]
    public async Task AReplacedOutput_IsWhatTheForwardGoesOnWith(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        Saved plain = await llm.TraceAsync(Prompt, _ => llm.Logits.Save(), cancellationToken: Cancellation);
        using (Trace t = llm.Trace(Prompt))
        {
            // without attention, its projection gives the bias alone
            llm.Layers[0].Attn.Source["attention_interface_0"].Output[0][..] = 0;
            Saved output = llm.Layers[0].Attn["c_proj"].Output.Save(), bias = llm.Layers[0].Attn["c_proj"].Parameter("bias").Save();
            Saved logits = llm.Logits.Save();
            await t.RunAsync(Cancellation);
            TensorAssert.Equal(bias, output.Tensor[0, 0]);
            TensorAssert.Equal(bias, output.Tensor[0, ^1]);
            TensorAssert.NotEqual(plain, logits);
        }
        using (Trace t = llm.Trace(Prompt))
        {
            Operation probs = llm.Layers[0].Attn.Source["probs"];
            probs.Output = probs.Output * 0 + 0.25;
            Saved mixed = llm.Layers[0].Attn.Output[1].Save();
            await t.RunAsync(Cancellation);
            Assert.All(mixed.ToArray<float>(), p => Assert.Equal(0.25f, p));
        }
        Saved after = await llm.TraceAsync(Prompt, _ => llm.Logits.Save(), cancellationToken: Cancellation);
        TensorAssert.Same(plain, after);
    }

    [Theory, MemberData(nameof(All))]
    public async Task AnInput_IsReplaced(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Trace(Prompt);
        Operation softmax = llm.Layers[0].Attn.Source["attention_interface_0.softmax_0"];
        softmax.Input = softmax.Input * 0;
        Saved probs = llm.Layers[0].AttentionProbabilities.Save();
        await t.RunAsync(Cancellation);
        Assert.All(probs.ToArray<float>(), p => Assert.Equal(1f / probs.Tensor.Shape[^1], p, 1e-6));

        using Trace u = llm.Trace(Prompt);
        Operation attention = llm.Layers[0].Attn.Source["attention_interface_0"];
        Inputs inputs = attention.Inputs;
        attention.Inputs = new Inputs([inputs.Args[0], inputs.Args[1], inputs.Args[2] * 2]);
        Saved doubled = attention.Output[0].Save();
        await u.RunAsync(Cancellation);
        Saved once =
            await llm.TraceAsync(Prompt, _ => llm.Layers[0].Attn.Source["attention_interface_0"].Output[0].Save(),
                cancellationToken: Cancellation);
        TensorAssert.Equal(once.Tensor * 2, doubled);
    }

    [Theory, MemberData(nameof(All))]
    public async Task ASkippedOperation_IsNotRun_AndItsInsideIsMissed(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        Operation attention = llm.Layers[0].Attn.Source["attention_interface_0"];
        using (Trace t = llm.Trace(Prompt))
        {
            Saved query = SkipWithQuery(t).Save(), output = llm.Layers[0].Attn["c_proj"].Input.Save();
            await t.RunAsync(Cancellation);
            Assert.Equal(query.Tensor.ToArray<float>(), output.Tensor.ToArray<float>());
        }
        using (Trace t = llm.Trace(Prompt))
        {
            SkipWithQuery(t);
            attention.Source["softmax_0"].Output.Save();
            var error = await Assert.ThrowsAsync<MissedValueException>(() => t.RunAsync(Cancellation));
            Assert.Contains("attention_interface_0.softmax_0", error.Message, StringComparison.Ordinal);
        }

        Value SkipWithQuery(Trace t)
        {
            Inputs given = attention.Inputs;
            Value query = given.Args[0].Transpose(1, 2).Contiguous(); // [batch, seq, heads, headDim]
            ValueList instead = t.List();
            instead.Append(query);
            instead.Append(given.Args[0].MatMul(given.Args[1].Transpose(2, 3)));
            attention.Skip(instead);
            return query;
        }
    }

    [Theory, MemberData(nameof(All))]
    public async Task SomeRows_AreReplaced_OrSkipped_AndTheOthersAreAsAlone(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        string[] prompts = [Prompt, "Hello", "Big Ben is in the middle of"];
        Operation split = llm.Layers[0].Attn.Source["split_heads_1"], z = llm.Layers[1].Attn.Source["z"];
        List<Saved> alone = [], together = [];
        foreach (int i in (int[])[0, 1, 2])
        {
            using Trace t = llm.Trace(prompts[i]);
            alone.Add(Experiment(i));
            await t.RunAsync(Cancellation);
        }
        using (Trace t = llm.Trace())
        {
            foreach (int i in (int[])[0, 1, 2])
                using (t.Invoke(prompts[i])) together.Add(Experiment(i));
            await t.RunAsync(Cancellation);
        }
        for (int i = 0; i < 3; i++) TensorAssert.Equal(alone[i], together[i]);
        Saved untouched = await llm.TraceAsync(prompts[0], _ => llm.Logits.Save(), cancellationToken: Cancellation);
        TensorAssert.NotEqual(untouched, alone[0]);

        Saved Experiment(int i)
        {
            if (i == 0) split.Skip(split.Input.Reshape(1, -1, 4, 32).Transpose(1, 2) * 0.5);
            if (i == 1) z.Output = z.Output * 2;
            if (i == 2) z.Output[.., 1] = 0;
            return llm.Logits.Save();
        }
    }

    [Theory, MemberData(nameof(All))]
    public async Task AnOperationOfUnknownShape_IsReadAlone_AndRefusedBesideOtherInvokes(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        Operation bmm = llm.Layers[0].Attn.Source["attention_interface_0.scores_0.bmm_0"];
        Saved product = await llm.TraceAsync(Prompt, _ => bmm.Output.Save(), cancellationToken: Cancellation);
        Assert.Equal(4, product.Tensor.Shape[0]);
        using Trace t = llm.Trace();
        using (t.Invoke(Prompt)) bmm.Output.Save();
        using (t.Invoke("Hello")) llm.Logits.Save();
        var error = await Assert.ThrowsAsync<BadProgramException>(() => t.RunAsync(Cancellation));
        Assert.Equal(ErrorCode.Unsupported, error.Code);
        Assert.Contains("cannot be cut out of the batch", error.Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(All))]
    public async Task AValueOfOneInvoke_IsPutIntoAnother_WithABarrier(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        Operation attention = llm.Layers[1].Attn.Source["attention_interface_0"];
        using Trace t = llm.Trace();
        Barrier barrier = t.Barrier(2);
        Value first;
        Saved source, target;
        using (t.Invoke("The Eiffel Tower is in the city of"))
        {
            first = attention.Output[0][.., ^1];
            source = first.Save();
            barrier.Wait();
        }
        using (t.Invoke("Hello there"))
        {
            barrier.Wait();
            attention.Output[0][.., ^1] = first;
            target = llm.Layers[1].Attn["c_proj"].Input[.., ^1].Save();
        }
        await t.RunAsync(Cancellation);
        Assert.Equal(source.Tensor.ToArray<float>(), target.Tensor.ToArray<float>());
    }

    [Theory, MemberData(nameof(All))]
    public async Task AnOperationThatTheModuleHasPassed_IsOutOfOrder(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Trace(Prompt);
        llm.Layers[0].Attn.Output[0].Save();
        llm.Layers[0].Attn.Source["split_0"].Output.Save();
        var error = await Assert.ThrowsAsync<OutOfOrderException>(() => t.RunAsync(Cancellation));
        Assert.Contains("transformer.h.0.attn.source.split_0.output", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AScan_KnowsShapesInsideOfModules()
    {
        LanguageModel llm = Backends.Model("local");
        using Trace t = llm.Scan(Prompt);
        Saved shape = llm.Layers[0].AttentionProbabilities.Shape.Save();
        await t.RunAsync(Cancellation);
        long tokens = llm.Tokenizer.Encode(Prompt).Count;
        Assert.Equal([1L, 4L, tokens, tokens], ((object?[])shape.Result!).Cast<long>());
    }

    [Theory, MemberData(nameof(All))]
    public async Task AModelOfThisProcess_HasNoSource(string backend)
    {
        using var net = TorchSharp.torch.nn.Sequential(("one", TorchSharp.torch.nn.Linear(2, 2)));
        var model = new NNsight(net);
        var error = Assert.Throws<BadProgramException>(() => model["one"].Source);
        Assert.Equal(ErrorCode.Unsupported, error.Code);
        Assert.NotEmpty(backend);
        await Task.CompletedTask;
    }

    [Theory, MemberData(nameof(All))]
    public async Task AnOperationsGradient_IsRead_AndReplaced(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        Saved gradient = null!;
        Saved[] before = new Saved[2];
        foreach (bool cut in (bool[])[false, true])
        {
            using Trace t = llm.Trace(Prompt, grad: true);
            Value query = llm.Layers[3].Attn.Source["q"].Output, probs = llm.Layers[3].AttentionProbabilities;
            t.Backward(llm.Logits[0, ^1].Max(), () =>
            {
                if (cut) probs.Grad[..] = 0;
                else gradient = probs.Grad.Save();
                before[cut ? 1 : 0] = query.Grad.Norm().Save();
            });
            await t.RunAsync(Cancellation);
        }
        // of the last token only: the attention of the other tokens in the last layer does not reach its logits
        long tokens = gradient.Tensor.Shape[2];
        Assert.Equal([1, 4, tokens, tokens], gradient.Tensor.Shape.ToArray());
        Assert.All(gradient.Tensor[0, .., 0].ToArray<float>(), g => Assert.Equal(0, g));
        Assert.Contains(gradient.Tensor[0, .., ^1].ToArray<float>(), g => g != 0);
        Assert.NotEqual(0, before[0].Item<float>());
        Assert.Equal(0, before[1].Item<float>());
    }
}
