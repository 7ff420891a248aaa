namespace Ndif.Engine.Tests.Features;

/// <summary>Persistent edits and scans: nnsight's TestEditing and TestScan, on the bundled model.</summary>
public sealed class EditAndScanTests
{
    public static TheoryData<string> All => Backends.All;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private static Task<Saved> NextAsync(LanguageModel llm, string prompt) =>
        llm.TraceAsync(prompt, _ => llm.LmHead.Output[0, ^1].Save(), cancellationToken: Cancellation);

    [Theory, MemberData(nameof(All))]
    public async Task AnEditedModel_IsAnother_AndInheritsEdits(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        TensorData plain = await NextAsync(llm, "Hello there");
        LanguageModel zeroed = llm.Edit(() => llm.Layers[0].Hidden[..] = 0);
        LanguageModel both = zeroed.Edit(() => llm.LmHead.Output = llm.LmHead.Output + 1);
        TensorData edited = await NextAsync(zeroed, "Hello there");
        Assert.False(edited.SameAs(plain));
        Assert.True((await NextAsync(both, "Hello there")).Tensor.AllClose(edited + 1, atol: 1e-5));
        Assert.True((await NextAsync(llm, "Hello there")).Tensor.SameAs(plain));
        zeroed.ClearEdits();
        Assert.True((await NextAsync(zeroed, "Hello there")).Tensor.SameAs(plain));
    }

    [Theory, MemberData(nameof(All))]
    public async Task AnEdit_ReachesEachPromptsOwnTokens_AndComesBeforeTheTracesOwn(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        llm.Edit(() => llm.Layers[1].Hidden[.., 0] = 0, inPlace: true);
        using Trace t = llm.Trace();
        Saved shorter, longer;
        using (t.Invoke("Hello")) shorter = llm.Layers[1].Hidden.Save();
        using (t.Invoke("Hello there, how are you")) longer = llm.Layers[1].Hidden.Save();
        await t.RunAsync(Cancellation);
        foreach (Saved hidden in (Saved[])[shorter, longer]) Assert.Equal(0, hidden.Tensor[0, 0].Norm().Item<float>());
        Assert.NotEqual(0, longer.Tensor[0, 1].Norm().Item<float>());
    }

    [Fact]
    public async Task AScan_GivesShapes_OfWhatInterventionsMake()
    {
        LanguageModel llm = Backends.Model("local");
        using Trace t = llm.Scan("Hello there");
        Saved hidden = llm.Layers[0].Hidden.Shape.Save();
        Saved wide = Op.Cat([llm.Layers[1].Hidden, llm.Layers[1].Hidden], 2).Shape.Save();
        await t.RunAsync(Cancellation);
        long tokens = llm.Tokenizer.Encode("Hello there").Count;
        Assert.Equal([1L, tokens, 128L], ((object?[])hidden.Result!).Cast<long>());
        Assert.Equal([1L, tokens, 256L], ((object?[])wide.Result!).Cast<long>());
    }

    [Fact]
    public async Task AScansNumbers_CannotBeSaved()
    {
        LanguageModel llm = Backends.Model("local");
        using Trace t = llm.Scan("Hello there");
        llm.Layers[0].Hidden.Save();
        var error = await Assert.ThrowsAsync<BadProgramException>(() => t.RunAsync(Cancellation));
        Assert.Contains("Save value.Shape", error.Message, StringComparison.Ordinal);
    }
}
