using Ndif.Engine.Tests.Support;
using Ndif.Protocol;


namespace Ndif.Engine.Tests.Recording;

/// <summary>Valid and invalid uses of the recorder.</summary>
public sealed class RecorderTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private static string Refused(Action action) => Assert.Throws<InvalidOperationException>(action).Message;

    [Fact]
    public void OutsideOfATrace_ThereIsNothingToAccess()
    {
        foreach (Action access in (Action[])[() => _ = Model.Logits, () => Model.Layers[0].Hidden = 0, () => _ = Model.Embed.Inputs,
            () => Model.Layers[0].Skip(0), () => Model.LmHead.Call(0), () => Model.LmHead.Parameter("weight")])
            Assert.StartsWith("Cannot access `", Refused(access), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AValueOfATraceThatIsClosed_CannotBeUsed_ButASavedOneCan()
    {
        Value hidden;
        Saved saved;
        using (Trace first = Model.Trace(_prompt))
        {
            hidden = Model.Layers[0].Hidden;
            saved = hidden.Save();
            Assert.StartsWith("Accessing value before it's been set.", Refused(() => _ = saved.Tensor), StringComparison.Ordinal);
            await first.RunAsync(Cancellation);
        }
        Assert.Contains("Save()", Refused(() => _ = hidden + 1), StringComparison.Ordinal);
        using Trace second = Model.Trace(_prompt);
        Assert.StartsWith("This value belongs to another trace and was not kept", Refused(() => _ = hidden + 1), StringComparison.Ordinal);
        Model.Layers[0].Hidden = saved * 2;
        Saved doubled = Model.Layers[1].Input.Save();
        await second.RunAsync(Cancellation);
        Assert.Equal(2 * saved.Tensor[0, 0, 0].Item<float>(), doubled.Tensor[0, 0, 0].Item<float>());
    }

    [Fact]
    public async Task AnInvokeThatIsStillOpen_IsSaid_AndTheNextTraceIsNotHurt()
    {
        using (Trace t = Model.Trace())
        {
            _ = t.Invoke(_prompt);
            InvalidOperationException thrown = await Assert.ThrowsAsync<InvalidOperationException>(() => t.RunAsync(Cancellation));
            Assert.Equal("An invoke or loop of this trace is still open; dispose it before the trace is run.", thrown.Message);
        }
        Saved logits = await Model.TraceAsync(_prompt, _ => Model.Logits.Save(), cancellationToken: Cancellation);
        Assert.True(logits.HasValue);
    }

    [Fact]
    public async Task AnExceptionInTheExperiment_ComesOut_AndTheNextTraceIsNotHurt()
    {
        await Assert.ThrowsAsync<FormatException>(() => Model.TraceAsync(_prompt, Saved (t) =>
        {
            _ = t.Iter[..].GetEnumerator().MoveNext();
            throw new FormatException("the user's own");
        }, cancellationToken: Cancellation));
        Assert.Throws<FormatException>(Broken);
        using (Model.Trace()) { } // discarded: its missing prompt is not an error
        Saved logits = await Model.TraceAsync(_prompt, _ => Model.Logits.Save(), cancellationToken: Cancellation);
        Assert.True(logits.HasValue);

        void Broken()
        {
            using Trace t = Model.Trace();
            _ = t.Invoke(_prompt);
            throw new FormatException("the user's own");
        }
    }

    [Fact]
    public void TracesInvokesAndIterations_DoNotNest()
    {
        using Trace t = Model.Trace();
        Assert.StartsWith("A trace cannot be opened inside of another one", Refused(() => Model.Trace(_prompt)), StringComparison.Ordinal);
        using (t.Invoke(_prompt))
        {
            Assert.StartsWith("An invoke cannot be opened inside of another invoke", Refused(() => t.Invoke(_prompt)),
                StringComparison.Ordinal);
            foreach (int step in t.Iter[0])
                Assert.Equal("An iteration cannot be opened inside of another one.", Refused(() => _ = t.Iter[0].First()));
        }
    }

    [Fact]
    public void ATraceWithAPrompt_TakesNoInvokes()
    {
        using Trace t = Model.Trace(_prompt);
        Assert.StartsWith("This trace has its prompt already", Refused(() => t.Invoke(_prompt)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task ATraceRunsOnce_AndIsClosedThen()
    {
        using Trace t = Model.Trace(_prompt);
        Model.Logits.Save();
        await t.RunAsync(Cancellation);
        Assert.StartsWith("This trace is closed", Refused(t.Stop), StringComparison.Ordinal);
        await Assert.ThrowsAsync<InvalidOperationException>(() => t.RunAsync(Cancellation));
    }

    [Fact]
    public async Task TwoFlows_DoNotSeeEachOther()
    {
        Task<TensorData>[] flows = [.. Enumerable.Range(1, 6).Select(Flow)];
        TensorData[] results = await Task.WhenAll(flows);
        for (int i = 0; i < 6; i++) Assert.Equal(i + 1, results[i].Shape[1]);

        async Task<TensorData> Flow(int tokens)
        {
            using Trace t = Model.Trace(new int[tokens]);
            await Task.Yield();
            Value hidden = Model.Layers[0].Hidden;
            await Task.Yield();
            Saved saved = (hidden * 1).Save();
            await t.RunAsync(Cancellation);
            return saved.Tensor;
        }
    }

    [Fact]
    public void AnIteration_IsNeverNegative()
    {
        using Trace t = Model.Generate(_prompt, 3);
        foreach (Action action in (Action[])[() => _ = t.Iter[-1].ToArray(), () => _ = t.Iter[^1..].ToArray(),
            () => _ = t.Iter[..^1].ToArray(), () => _ = t.Iter[0, -2].ToArray()])
            Assert.StartsWith("Iteration cannot be negative.", Assert.Throws<ArgumentOutOfRangeException>(action).Message,
                StringComparison.Ordinal);
    }

    [Fact]
    public void APromptOfAnotherKind_OrWithoutTokens_IsRefused_AndTheNextTraceIsNotHurt()
    {
        Assert.Throws<ArgumentException>(() => Model.Trace(3.5));
        Assert.Equal(ErrorCode.BadInput, Assert.Throws<NdifException>(() => Model.Trace("")).Code);
        Assert.Equal(ErrorCode.BadInput, Assert.Throws<NdifException>(() => Model.Trace(Array.Empty<int>())).Code);
        using Trace t = Model.Trace(_prompt);
    }
}
