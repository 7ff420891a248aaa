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
