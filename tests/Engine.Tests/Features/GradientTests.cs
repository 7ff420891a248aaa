using Ndif.Engine.Tests.Support;
using Ndif.Models.Files;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Tests.Features;

/// <summary>Backward passes: reading, editing and replacing gradients; nnsight's TestGradients.</summary>
public sealed class GradientTests
{
    private const string Prompt = "The Eiffel Tower is in the city of";

    private static readonly int[] _ids = [1, 2, 3, 4];

    public static TheoryData<string> All => Backends.All;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(All))]
    public async Task AGradient_IsRead_EditedInPlace_AndReadAgain(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Trace("Hello", grad: true);
        Value hs = llm.Layers[^1].Output[0].RequiresGrad();
        Saved original = null!, modified = null!;
        t.Backward(llm.LmHead.Output.Sum(), () =>
        {
            original = hs.Grad.Clone().Save();
            hs.Grad[..] = 0;
            modified = hs.Grad.Save();
        });
        await t.RunAsync(Cancellation);
        Assert.Equal([1, 1, 128], original.Tensor.Shape.ToArray());
        Assert.Contains(original.ToArray<float>(), x => x != 0);
        Assert.All(modified.ToArray<float>(), x => Assert.Equal(0, x));
    }

    [Theory, MemberData(nameof(All))]
    public async Task AnEditedGradient_FlowsOn_AsAutogradSays(string backend)
    {
        // the whole gradient of a layer flows through its hidden state: doubled there, it is doubled in every earlier value
        (TensorData plain, TensorData plainWeight) = await Early(null);
        (TensorData doubled, TensorData doubledWeight) = await Early(g => g * 2);
        (TensorData nothing, TensorData nothingWeight) = await Early(_ => 0);
        TensorAssert.Equal(plain * 2f, doubled, 1e-5 * Largest(plain));
        TensorAssert.Equal(plainWeight * 2f, doubledWeight, 1e-5 * Largest(plainWeight));
        Assert.All(nothing.ToArray<float>(), x => Assert.Equal(0, x));
        Assert.All(nothingWeight.ToArray<float>(), x => Assert.Equal(0, x));

        async Task<(TensorData, TensorData)> Early(Func<Value, Value>? change)
        {
            LanguageModel llm = Backends.Model(backend);
            using Trace t = llm.Trace(Prompt, grad: true);
            Value weight = llm.Layers[0].Mlp["c_fc"].Parameter("weight");
            Value early = llm.Layers[0].Hidden, late = llm.Layers[2].Hidden;
            Saved earlyGrad = null!;
            t.Backward(llm.Logits[0, ^1].Max(), () =>
            {
                if (change is not null) late.Grad = change(late.Grad);
                earlyGrad = early.Grad.Save();
            });
            Saved weightGrad = weight.Grad.Save();
            await t.RunAsync(Cancellation);
            return (earlyGrad, weightGrad);
        }
    }

    [Theory, MemberData(nameof(All))]
    public async Task AParameterMarkedByRequiresGrad_HasTheGradientOfTheParameter(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Trace(Prompt, grad: true);
        Envoy layer = llm.Layers[0].Mlp["c_fc"];
        Value plain = layer.Parameter("weight"), marked = layer.Parameter("weight").RequiresGrad();
        Value twice = layer.Parameter("bias").RequiresGrad().RequiresGrad(), bias = layer.Parameter("bias");
        Value loss = llm.Logits[0, ^1].Max() + (marked * marked).Sum() * 1e-3;
        Saved inside = null!;
        t.Backward(loss, () => inside = marked.Grad.Save());
        Saved expected = plain.Grad.Save(), after = marked.Grad.Save(), expectedBias = bias.Grad.Save(), twiceBias = twice.Grad.Save();
        await t.RunAsync(Cancellation);
        Assert.Contains(expected.ToArray<float>(), x => x != 0);
        TensorAssert.Same(expected.Tensor, inside);
        TensorAssert.Same(expected.Tensor, after);
        TensorAssert.Same(expectedBias.Tensor, twiceBias);
    }

    [Theory, MemberData(nameof(All))]
    public async Task AParameterOfTheProgram_MarkedByRequiresGrad_HasItsGradient(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Session s = llm.Session();
        Value p = s.Parameter(TensorData.FromArray(new[] { 1f, 2 })).RequiresGrad();
        s.Backward((p * p).Sum());
        Saved gradient = p.Grad.Save();
        await s.RunAsync(Cancellation);
        Assert.Equal([2f, 4], gradient.ToArray<float>());
    }

    [Theory, MemberData(nameof(All))]
    public async Task AGradient_IsTheSlope_OfWhatAChangeDoes(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        TensorData direction = TensorData.Randn([1, 1, 128], seed: 3);
        Saved gradient;
        using (Trace t = llm.Trace(Prompt, grad: true))
        {
            Value hidden = llm.Layers[1].Hidden;
            t.Backward(llm.Logits[0, ^1].LogSoftmax(-1)[100]);
            gradient = hidden.Grad.Save();
            await t.RunAsync(Cancellation);
        }
        double slope = 0;
        float[] g = gradient.ToArray<float>(), d = direction.ToArray<float>();
        for (int i = 0; i < g.Length; i++) slope += g[i] * d[i % 128];
        const double Step = 1e-2;
        double measured = (await Score(Step) - await Score(-Step)) / (2 * Step);
        Assert.InRange(measured / slope, 0.98, 1.02);

        async Task<double> Score(double step)
        {
            using Trace t = llm.Trace(Prompt);
            llm.Layers[1].Hidden += step * (Value)direction;
            Saved score = llm.Logits[0, ^1].LogSoftmax(-1)[100].Save();
            await t.RunAsync(Cancellation);
            return score.Item<float>();
        }
    }

    [Theory, MemberData(nameof(All))]
    public async Task SeveralBackwardPasses_EachBringTheirOwn_AndOutsideOfBlocksTheirSum(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Trace(Prompt, grad: true);
        Value hidden = llm.Layers[1].Hidden, logits = llm.Logits[0, ^1];
        Saved first = null!, second = null!;
        t.Backward(logits[3], () => first = hidden.Grad.Save());
        t.Backward(logits[4] * 2, () => second = hidden.Grad.Save());
        Saved sum = hidden.Grad.Save();
        await t.RunAsync(Cancellation);
        TensorAssert.NotEqual(first, second);
        TensorAssert.Equal(first.Tensor + second.Tensor, sum, 1e-5);
    }

    [Theory, MemberData(nameof(All))]
    public async Task AnInvokeOfABatch_GetsTheGradientsItWouldHaveAlone(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        TensorData[] alone = [await Alone(Prompt), await Alone("Big Ben is in")];
        using Trace t = llm.Trace(grad: true);
        var together = new Saved[2];
        Value[] losses = new Value[2];
        foreach (var (prompt, i) in new[] { Prompt, "Big Ben is in" }.Select((p, i) => (p, i)))
        {
            using (t.Invoke(prompt))
            {
                Value hidden = llm.Layers[1].Hidden;
                hidden[.., 0] *= 2;
                losses[i] = llm.Logits[0, ^1].Max();
                t.Backward(losses[i], () => together[i] = hidden.Grad.Save());
            }
        }
        Saved ofBoth = null!;
        using (t.Invoke())
        {
            Value all = llm.Layers[2].Hidden;
            t.Backward(losses[0] + losses[1], () => ofBoth = all.Grad.Save());
        }
        await t.RunAsync(Cancellation);
        for (int i = 0; i < 2; i++) TensorAssert.Equal(alone[i], together[i], 1e-4 * Largest(alone[i]));
        Assert.Equal(2, ofBoth.Tensor.Shape[0]);

        async Task<TensorData> Alone(string prompt)
        {
            using Trace t = llm.Trace(prompt, grad: true);
            Value hidden = llm.Layers[1].Hidden;
            hidden[.., 0] *= 2;
            Saved gradient = null!;
            t.Backward(llm.Logits[0, ^1].Max(), () => gradient = hidden.Grad.Save());
            await t.RunAsync(Cancellation);
            return gradient;
        }
    }

    [Theory, MemberData(nameof(All))]
    public async Task AGradient_OfAReplacedRowOfABatch_IsTheReplacements(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Trace(grad: true);
        Saved gradient = null!, other = null!;
        Value loss0, clean;
        using (t.Invoke("Big Ben is in"))
        {
            clean = llm.Layers[1].Hidden;
            loss0 = llm.Logits[0, ^1].Max();
        }
        using (t.Invoke(Prompt))
        {
            Value mine = (llm.Layers[1].Hidden * 0.5).RequiresGrad();
            llm.Layers[1].Hidden = mine;
            t.Backward(llm.Logits[0, ^1].Max(), () => gradient = mine.Grad.Save());
        }
        using (t.Invoke()) t.Backward(loss0, () => other = clean.Grad.Save());
        await t.RunAsync(Cancellation);
        Assert.Contains(gradient.ToArray<float>(), x => x != 0);
        Assert.Contains(other.ToArray<float>(), x => x != 0);
    }

    [Theory, MemberData(nameof(All))]
    public async Task GradientsInForwardOrder_AreOutOfOrder_AndNameTheLine(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Trace(Prompt, grad: true);
        Value early = llm.Layers[0].Hidden, late = llm.Layers[1].Hidden;
        t.Backward(llm.Logits.Sum(), () =>
        {
            early.Grad.Save();
            late.Grad.Save();
        });
        var e = await Assert.ThrowsAsync<OutOfOrderException>(() => t.RunAsync(Cancellation));
        Assert.Contains("reverse order", e.Message, StringComparison.Ordinal);
        Assert.Contains("late.Grad.Save()", e.Message, StringComparison.Ordinal);
        Assert.Contains("GradientTests.cs:", e.Message, StringComparison.Ordinal);
    }

    public static TheoryData<string, string, string> Misuses
    {
        get
        {
            TheoryData<string, string, string> cases = [];
            foreach (string backend in new[] { "local", "loopback" })
            {
                cases.Add(backend, "no grad", "grad: true");
                cases.Add(backend, "site in block", "only gradients can be read");
                cases.Add(backend, "not a scalar", "only for a scalar");
                cases.Add(backend, "nothing followed", "does not depend on anything");
                cases.Add(backend, "beside the loss", "the loss does not depend on it");
                cases.Add(backend, "no pass", "no backward pass has come to it");
                cases.Add(backend, "wrong shape", "cannot be replaced by");
                cases.Add(backend, "tuple", "Only tensors have gradients");
                cases.Add(backend, "error in block", "index 500 is out of bounds");
                cases.Add(backend, "integers", "No graph was made");
                cases.Add(backend, "in the block", "in the backward block itself");
                cases.Add(backend, "nested", "inside of another one's block");
            }
            return cases;
        }
    }

    [Theory, MemberData(nameof(Misuses))]
    public async Task AMisuse_IsATypedError(string backend, string misuse, string says)
    {
        LanguageModel llm = Backends.Model(backend);
        long before = await Settled(llm);
        using (Trace t = llm.Trace(Prompt, grad: misuse != "no grad"))
        {
            Value ids = llm.Embed.Input, tuple = llm.Layers[0].Output, hs = llm.Layers[1].Hidden, beside = hs * 2, logits = llm.Logits;
            switch (misuse)
            {
                case "no grad": t.Backward(logits.Sum()); break;
                case "site in block": t.Backward(logits.Sum(), () => llm.Layers[2].Output.Save()); break;
                case "not a scalar": hs.RequiresGrad(); t.Backward(logits); break;
                case "nothing followed": t.Backward(logits.Sum()); break;
                case "beside the loss": t.Backward(logits.Sum(), () => beside.Grad.Save()); break;
                case "no pass": hs.Grad.Save(); break;
                case "wrong shape": t.Backward(logits.Sum(), () => hs.Grad = Op.Zeros([3, 3])); break;
                case "tuple": t.Backward(logits.Sum(), () => tuple.Grad.Save()); break;
                case "error in block": t.Backward(logits.Sum(), () => hs.Grad[0, 500].Save()); break;
                case "integers": t.Backward(logits.Sum() + hs.Sum(), () => { hs.Grad.Save(); ids.Grad.Save(); }); break;
                case "in the block": t.Backward(logits.Sum() + hs.Sum(), () => (hs * 2).Grad.Save()); break;
                case "nested": t.Backward(logits.Sum(), () => t.Backward(hs.Sum())); break;
            }
            Exception? e = await Record.ExceptionAsync(() => t.RunAsync(Cancellation));
            Assert.NotNull(e);
            Assert.True(e is NdifException or { InnerException: NdifException }, e.ToString());
            Assert.Contains(says, e.Message, StringComparison.Ordinal);
        }
        Assert.InRange(torch.Tensor.TotalCount, 0, before);
        await Settled(llm); // gradients still work
    }

    [Fact]
    public void AfterGradients_TheWeightsAreAsTheyWere_AndNothingIsLeft()
    {
        using EngineFixture fixture = EngineFixture.Llama();
        Program program = fixture.Record(_ids, _ => { });
        using (Trace t = fixture.Model.Trace(_ids, grad: true))
        {
            Value weight = fixture.Model.LmHead.Parameter("weight");
            t.Backward(fixture.Model.Logits.Sum());
            weight.Grad.Save("grad");
            program = t.ToProgram();
        }
        int module = fixture.HookedModel.IndexOf("lm_head");
        JobOutcome first = fixture.Run(program)[0].AssertCompleted(), second = fixture.Run(program, program)[1].AssertCompleted();
        TensorAssert.Same(first.Tensor("grad"), second.Tensor("grad"));
        Assert.False(fixture.HookedModel.Parameter(module, "weight").requires_grad);
        Assert.Null(fixture.HookedModel.Parameter(module, "weight").grad);
    }

    [Fact]
    public void ACancelledBackward_Ends_AndLeavesNothing()
    {
        using EngineFixture fixture = EngineFixture.GPT2();
        using var cancel = new CancellationTokenSource();
        Program program;
        using (Trace t = fixture.Model.Trace(_ids, grad: true))
        {
            Value early = fixture.Model.Layers[0].Hidden, late = fixture.Model.Layers[1].Hidden;
            t.Backward(fixture.Model.Logits.Sum(), () =>
            {
                late.Grad.Save("late");
                t.Log("here");
                early.Grad.Save("early");
            });
            program = t.ToProgram();
        }
        JobOutcome outcome = EngineFixture.Run(fixture.HookedModel, (program, new JobOutcome { OnLog = cancel.Cancel }, cancel.Token))[0];
        outcome.AssertFailed(ErrorCode.JobCancelled);
        Assert.Equal(["late"], outcome.Names);
    }

    public static TheoryData<string> Architectures => ["gpt2", "llama", "gptj", "bloom", "gemma2", "qwen3_moe"];

    [Theory, MemberData(nameof(Architectures))]
    public async Task GradientsOfSites_AreHuggingFaces(string architecture)
    {
        Assert.SkipWhen(SharedFolder.Path is null, "there are no reference outputs here (NDIF_SHARED)");
        string folder = Path.Combine(SharedFolder.Path!, "golden", architecture);
        using SafetensorsFile golden = SafetensorsFile.Open(Path.Combine(folder, "golden.safetensors"));
        TensorData ids = Read("input_ids");
        string[] paths =
            [.. golden.Entries.Keys.Where(n => n.StartsWith("grad_sum/", StringComparison.Ordinal)).Select(n => n["grad_sum/".Length..])];
        using var json = System.Text.Json.JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "golden.json")));
        string[] order =
            [.. json.RootElement.GetProperty("calls").EnumerateArray().Select(c => c.GetProperty("name").GetString()!).Where(paths.Contains)
                .Distinct()];

        var llm = new LanguageModel(folder, remote: Backend.Local);
        Dictionary<string, Saved> gradients = [];
        using Trace t = llm.Trace(ids, grad: true);
        Dictionary<string, Value> values = order.ToDictionary(path => path, path => llm[path].Hidden);
        t.Backward(llm.Logits.Sum(), () =>
        {
            foreach (string path in order.Reverse()) gradients[path] = values[path].Grad.Save();
        });
        await t.RunAsync(Cancellation);
        double scale = gradients.Max(g => Largest(Read($"grad_sum/{g.Key}")));
        foreach (var (path, gradient) in gradients)
        {
            TensorData expected = Read($"grad_sum/{path}");
            double bound = 1e-4 * Math.Max(Largest(expected), 1e-4 * scale);
            Assert.True(TensorAssert.Difference(expected, gradient) <= bound,
                $"{path}: {TensorAssert.Difference(expected, gradient)} > {bound}");
        }

        TensorData Read(string name)
        {
            using torch.Tensor tensor = golden.Read(name);
            return tensor.ToData();
        }
    }

    private static double Largest(TensorData data) => data.ToArray<float>().Max(Math.Abs);

    /// <summary>Runs once, so that everything that is created only once exists, and returns the number of tensors.</summary>
    private static async Task<long> Settled(LanguageModel llm)
    {
        using (Trace t = llm.Trace(Prompt, grad: true))
        {
            Value hidden = llm.Layers[1].Hidden;
            t.Backward(llm.Logits.Sum());
            hidden.Grad.Save();
            await t.RunAsync(Cancellation);
        }
        return torch.Tensor.TotalCount;
    }
}
