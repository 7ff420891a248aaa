using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Features;

/// <summary>Mistakes that C# permits and that would have no effect, or the wrong one, without a word.</summary>
public sealed class SilentMistakeTests
{
    private const string Prompt = "Hello there";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private static LanguageModel Llm => Backends.Model("local");

    private static async Task<string[]> WarningsAsync(Action<LanguageModel, Trace> experiment)
    {
        LanguageModel llm = Llm;
        List<string> warnings = [];
        using Trace t = llm.Trace(Prompt);
        t.OnWarning = warnings.Add;
        experiment(llm, t);
        await t.RunAsync(Cancellation);
        return [.. warnings];
    }

    [Fact]
    public async Task ACompoundAssignmentToAValue_IsWarnedOf_WithItsLine()
    {
        string warning = Assert.Single(await WarningsAsync((llm, t) =>
        {
            Value x = llm.Layers[0].Hidden;
            x *= 0;
            llm.Logits.Save();
        }));
        Assert.Contains("`x *= 0;` computes a value that nothing uses", warning, StringComparison.Ordinal);
        Assert.Contains("SilentMistakeTests.cs:", warning, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AValueThatAnOrdinaryProgramDoesNotUse_IsNotWarnedOf() => Assert.Empty(await WarningsAsync((llm, t) =>
    {
        Value total = 0;
        for (int layer = 0; layer < 3; layer++)
        {
            Value hidden = llm.Layers[layer].Hidden;
            Value norm = hidden.Norm();
            (Value mean, Value spread) = Moments(hidden);
            Value metric = mean * 2;
            total += norm;
            if (layer != 1) continue;
            total.Save();
            norm.Save();
            spread.Save();
        }
        llm.Logits.Save();
    }));

    private static (Value Mean, Value Spread) Moments(Value x) => (x.Mean(), x.Std());

    [Fact]
    public async Task WhatIsUsed_IsNotWarnedOf() => Assert.Empty(await WarningsAsync((llm, t) =>
    {
        Value hidden = llm.Layers[0].Hidden;
        llm.Layers[0].Hidden *= 1;
        hidden[.., 0] *= 2;
        hidden.Relu_();
        Value condition = hidden.Sum() > 0;
        t.If(condition, () => llm.Layers[1].Hidden[..] = 0);
        t.Log((hidden + 1).Mean());
        ValueList list = t.List();
        list.Append(hidden * 2);
        llm.Logits.Save();
    }));

    [Fact]
    public async Task AValueThatIsSavedInALoop_KeepsTheLast_AndSaysSo()
    {
        LanguageModel llm = Llm;
        List<string> warnings = [];
        using Trace t = llm.Generate(Prompt, maxNewTokens: 2);
        t.OnWarning = warnings.Add;
        Saved? last = null;
        t.Iter.Each(_ => last = llm.Logits.Save());
        await t.RunAsync(Cancellation);
        Assert.Contains("Iter.Each keeps its value of the last step", Assert.Single(warnings), StringComparison.Ordinal);
        Assert.Equal(1, last!.Tensor.Shape[1]);
    }

    [Fact]
    public async Task AValueThatIsSavedInAnyLoop_KeepsTheLast_AndSaysSo()
    {
        string[] warnings = await WarningsAsync((llm, t) =>
        {
            Value hidden = llm.Layers[0].Hidden;
            ValueList all = t.List();
            t.ForEach([1, 2], i =>
            {
                all.Append(hidden * i);
                all.Save();
                (hidden * i).Save();
            });
            Variable count = t.Variable(0);
            t.While(() => count.Value < 2, () =>
            {
                count.Set(count.Value + 1);
                count.Value.Save();
            }, limit: 3);
        });
        Assert.Collection(warnings,
            warning => Assert.Contains("t.ForEach keeps its value of the last repetition", warning, StringComparison.Ordinal),
            warning => Assert.Contains("t.While keeps its value of the last repetition", warning, StringComparison.Ordinal));
    }

    [Fact]
    public async Task AValueThatAnEditSavesSeveralTimes_KeepsTheLast_AndSaysSo()
    {
        Saved? last = null;
        List<Saved> all = [];
        LanguageModel llm = Llm.Edit(() => last = Llm.Layers[0].Hidden.Save());
        string ofGeneration = Assert.Single(await RunAsync(llm.Generate(Prompt, maxNewTokens: 2)));
        Assert.Contains("an edit keeps its value of the last step", ofGeneration, StringComparison.Ordinal);
        Assert.Empty(await RunAsync(llm.Trace(Prompt)));
        string ofPrompts = Assert.Single(await RunAsync(Several(llm)));
        Assert.Contains("an edit keeps its value of the last prompt", ofPrompts, StringComparison.Ordinal);
        Assert.Empty(await RunAsync(Several(Llm.Edit(() => all.Add(Llm.Layers[0].Hidden.Save())))));
        Assert.Equal(2, all.Count(saved => saved.HasValue));
        Assert.True(last!.HasValue);

        static Trace Several(LanguageModel llm)
        {
            Trace t = llm.Trace();
            for (int i = 0; i < 2; i++)
            {
                using Invoke invoke = t.Invoke(Prompt);
                llm.Logits.Save();
            }
            return t;
        }

        static async Task<string[]> RunAsync(Trace t)
        {
            List<string> warnings = [];
            t.OnWarning = warnings.Add;
            using (t) await t.RunAsync(Cancellation);
            return [.. warnings];
        }
    }

    [Fact]
    public async Task ALateEdit_ThatALoopRepeats_IsWarnedOfOnce()
    {
        string warning = Assert.Single(await WarningsAsync((llm, t) =>
        {
            Value early = llm.Layers[0].Hidden;
            llm.Layers[1].Hidden.Save();
            t.ForEach(Op.Arange(50), _ => early[..] = 0);
        }));
        Assert.Contains("The model has already used this value", warning, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnEditOfAToken_ThatALaterStepDoesNotHave_NamesTheStep()
    {
        LanguageModel llm = Llm.Edit(() => Llm.Layers[0].Hidden[.., 1] = 0);
        using Trace t = llm.Generate(Prompt, maxNewTokens: 2);
        t.Result.Save();
        var error = await Assert.ThrowsAsync<IndexOutOfRangeException>(() => t.RunAsync(Cancellation));
        Assert.Contains("This is step 1", error.Message, StringComparison.Ordinal);
        Assert.Contains("t.Iter[0]", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnEmptyVariable_IsNotSet()
    {
        string? before = Environment.GetEnvironmentVariable("NDIF_API_KEY");
        Environment.SetEnvironmentVariable("NDIF_API_KEY", "");
        string? key = NdifConfig.ApiKey;
        Environment.SetEnvironmentVariable("NDIF_API_KEY", before);
        Assert.NotEqual("", key);
    }

    [Fact]
    public void ANameThatIsSavedTwice_IsRefused()
    {
        LanguageModel llm = Llm;
        using Trace t = llm.Trace(Prompt);
        llm.Layers[0].Hidden.Save("x");
        var error = Assert.Throws<InvalidOperationException>(() => llm.Layers[1].Hidden.Save("x"));
        Assert.Contains("\"x\"", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnAsyncLambda_IsRefused_WhereverOneIsRecorded()
    {
        LanguageModel llm = Llm;
        var error = await Assert.ThrowsAsync<ArgumentException>(() => llm.TraceAsync(Prompt, async t =>
        {
            await Task.Yield();
            return llm.Logits.Save();
        }, cancellationToken: Cancellation));
        Assert.Contains("async", error.Message, StringComparison.Ordinal);
        using Trace t = llm.Trace(Prompt);
        Assert.Throws<ArgumentException>(() => t.If(llm.Logits.Sum() > 0, async () => await Task.Yield()));
        Assert.Throws<ArgumentException>(() => t.Iter.Each(async _ => await Task.Yield()));
        Assert.Throws<ArgumentException>(() => t.ForEach([1, 2], async _ => await Task.Yield()));
    }

    [Fact]
    public async Task AnAsyncEdit_IsRefused_WhenATraceAppliesIt()
    {
        LanguageModel edited = Llm.Edit(async () => await Task.Yield());
        await Assert.ThrowsAsync<ArgumentException>(() =>
            edited.TraceAsync(Prompt, _ => edited.Logits.Save(), cancellationToken: Cancellation));
    }

    [Fact]
    public async Task TwoThreadsInOneTrace_AreAnError_AndTheTraceDoesNotRun()
    {
        LanguageModel llm = Llm;
        using Trace t = llm.Trace(Prompt);
        Value hidden = llm.Layers[0].Hidden;
        var error = Assert.Throws<AggregateException>(() => Parallel.For(0, 10_000, new ParallelOptions { MaxDegreeOfParallelism = 4 },
            i => _ = hidden * i));
        Assert.All(error.InnerExceptions, inner => Assert.Contains("Two threads", inner.Message, StringComparison.Ordinal));
        Assert.Contains("Two threads", (await Assert.ThrowsAsync<InvalidOperationException>(() => t.RunAsync(Cancellation))).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task ATupleAsATensor_IsRefused_WithTheWayToItsTensor()
    {
        LanguageModel llm = Llm;
        foreach (Func<Value, Value> use in (Func<Value, Value>[])[x => x + 1, x => x.Shape, x => x.Norm(), x => 2 * x])
        {
            var error = await Assert.ThrowsAsync<BadProgramException>(() =>
                llm.TraceAsync(Prompt, _ => use(llm.Layers[0].Output).Save(), cancellationToken: Cancellation));
            Assert.Equal(ErrorCode.BadArgument, error.Code);
            Assert.Contains("Hidden", error.Message, StringComparison.Ordinal);
        }
    }

    [Theory, InlineData("local"), InlineData("loopback")]
    public async Task ACachedInput_ThatWasPassedByKeyword_IsTheFirstArgument(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Trace(Prompt);
        ActivationCache cache = t.Cache(inputs: true);
        Saved input = llm["transformer"].Input.Save();
        await t.RunAsync(Cancellation);
        TensorAssert.Same(input.Tensor, cache["transformer"].Input.Tensor);
    }
}
