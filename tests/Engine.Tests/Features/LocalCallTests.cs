using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Tests.Features;

/// <summary>
/// t.Local and t.Inspect: calls of functions of the client during a run. Remotely: tests/EndToEnd.Tests/LocalCallTests.cs.
/// </summary>
public sealed class LocalCallTests
{
    private const string Prompt = "The Eiffel Tower is in the city of";

    public static TheoryData<string> All => Backends.All;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(All))]
    public async Task WhatTheFunctionReturns_GoesOn(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        TensorData? seen = null;
        using Trace t = llm.Trace(Prompt);
        Saved before = llm.Layers[1].Hidden.Clone().Save();
        llm.Layers[1].Hidden = t.Local(x => { seen = x; return x * 2f; }, llm.Layers[1].Hidden);
        Saved after = llm.Layers[1].Hidden.Save();
        await t.RunAsync(Cancellation);
        Assert.True(seen!.SameAs(before));
        Assert.True((before.Tensor * 2f).SameAs(after));
    }

    [Theory, MemberData(nameof(All))]
    public async Task ValuesOfAnyKind_GoToTheFunction_AndBack(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        object?[]? seen = null;
        using Trace t = llm.Trace(Prompt);
        Value tuple = llm.Layers[0].Output;
        Value answer = t.Local([tuple, tuple[0].Shape[^1], 2.5, true], values =>
        {
            seen = values;
            return new object?[] { TensorData.FromArray([1f, 2]), 7L, "text", new Dictionary<string, object?> { ["a"] = 1.5 } };
        });
        Saved doubled = (answer[0] * 2).Save(), number = (answer[1] + 1).Save(), entry = answer[3]["a"].Save();
        await t.RunAsync(Cancellation);
        Assert.IsType<TensorData>(Assert.IsType<object?[]>(seen![0])[0]);
        Assert.Equal([128L, 2.5, true], seen[1..]);
        Assert.Equal([2f, 4], doubled.ToArray<float>());
        Assert.Equal(8, number.Item<long>());
        Assert.Equal(1.5, entry.Result);
    }

    [Theory, MemberData(nameof(All))]
    public async Task WhatTheFunctionThrows_IsThrown_AndNothingIsLeft(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        await Run(x => x);
        long before = torch.Tensor.TotalCount;
        var thrown = await Assert.ThrowsAsync<InvalidTimeZoneException>(() => Run(_ => throw new InvalidTimeZoneException("mine")));
        Assert.Equal("mine", thrown.Message);
        Assert.Contains("cannot be part of a program", (await Assert.ThrowsAsync<ArgumentException>(() => Run(_ => new object()))).Message,
            StringComparison.Ordinal);
        Assert.InRange(torch.Tensor.TotalCount, 0, before);

        async Task Run(Func<object?, object?> function)
        {
            using Trace t = llm.Trace(Prompt);
            Value answer = t.Local([llm.Layers[0].Hidden], values => function(values[0]));
            answer.Save();
            await t.RunAsync(Cancellation);
        }
    }

    [Theory, MemberData(nameof(All))]
    public async Task Inspect_ShowsAValue_WhenItIsThere(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        List<long> sizes = [];
        using Trace t = llm.Generate(Prompt, maxNewTokens: 3);
        t.Iter.Each(_ => t.Inspect(llm.Layers[1].Hidden, x => sizes.Add(x.Shape[1])));
        await t.RunAsync(Cancellation);
        Assert.Equal([8, 1, 1], sizes);
    }

    [Fact]
    public void Inspect_IsRefused_InARemoteTrace()
    {
        LanguageModel llm = Backends.Model("local");
        using Trace t = llm.Trace(Prompt, remote: true);
        Exception e = Assert.ThrowsAny<Exception>(() => t.Inspect(llm.Layers[1].Hidden, _ => { }));
        Assert.Equal(ErrorCode.Unsupported, Errors.FromException(e).Code);
        Assert.Contains("t.Local", e.Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(All))]
    public async Task AFunction_IsAsked_InBackwardBlocksBranchesAndSessions(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        List<string> asked = [];
        using Session s = llm.Session();
        using (Trace t = llm.Trace(Prompt, grad: true))
        {
            Value hidden = llm.Layers[1].Hidden;
            t.If(hidden.Norm() > 0, () => t.Local(_ => asked.Add("branch"), hidden));
            t.Backward(llm.Logits.Sum(), () => hidden.Grad = t.Local(g => { asked.Add("gradient"); return g * 0f; }, hidden.Grad));
            hidden.Grad.Norm().Save("norm");
        }
        Value answer = s.Local([1], values => { asked.Add("session"); return (long)values[0]! + 1; });
        Saved two = answer.Save();
        await s.RunAsync(Cancellation);
        Assert.Equal(["branch", "gradient", "session"], asked);
        Assert.Equal(2, two.Item<long>());
    }
}
