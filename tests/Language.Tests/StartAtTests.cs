using Ndif.Protocol;

namespace Ndif.Language.Tests;

/// <summary>t.StartAt: a pass that begins in the middle of the model (nnsight issue #358).</summary>
public sealed class StartAtTests(ServiceFixture service) : LanguageTests(service)
{
    private Task<Saved> HiddenAsync(LanguageModel llm, string prompt, int layer) =>
        llm.TraceAsync(prompt, _ => llm.Layers[layer].Input.Save(), cancellationToken: Cancel);

    [Theory, MemberData(nameof(Modes))]
    public async Task ThePass_GoesOnFromAHiddenState_AsIfAllHadRun(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Saved whole = await LogitsAsync(llm, NewYork);
        foreach (Envoy start in (Envoy[])[llm.Layers[0], llm.Layers[1], llm.Layers[3], llm.FinalNorm, llm.LmHead])
        {
            Saved hidden = await llm.TraceAsync(NewYork, _ => start.Input.Save(), cancellationToken: Cancel);
            using Trace t = llm.Trace("_ _ _ _ _ _ _ _ _"); // its embeddings are never computed
            t.StartAt(start, hidden.Tensor);
            Saved input = start.Input.Save(), logits = llm.LmHead.Output.Save();
            await t.RunAsync(Cancel);
            Same(hidden, input);
            Same(whole, logits);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task OtherInvokes_RunTheWholeModel(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Saved hidden = await HiddenAsync(llm, NewYork, 3);
        using Trace t = llm.Trace();
        Saved before, after, started, clean;
        using (t.Invoke(Paris))
        {
            before = llm.Layers[1].Hidden.Save();
            clean = llm.LmHead.Output.Save();
        }
        using (t.Invoke("_ _ _ _ _ _ _ _ _"))
        {
            t.StartAt(llm.Layers[3], hidden.Tensor);
            started = llm.LmHead.Output.Save();
        }
        using (t.Invoke(Rome)) after = llm.LmHead.Output.Save();
        await t.RunAsync(Cancel);
        NotZero(before);
        Assert.Equal([" Paris", " New", " Rome"], ((Saved[])[clean, started, after]).Select(logits => Next(llm, logits)));
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task TheLayersBefore_DoNotRun(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Saved hidden = await HiddenAsync(llm, "Hello", 2);
        using Trace t = llm.Trace("Hello");
        t.StartAt(llm.Layers[2], hidden.Tensor);
        ActivationCache cache = t.Cache();
        llm.LmHead.Output.Save();
        await t.RunAsync(Cancel);
        Assert.DoesNotContain("transformer.h.0.mlp.c_fc", cache.Paths);
        Assert.DoesNotContain("transformer.h.1.attn", cache.Paths);
        Assert.Contains("transformer.h.2.mlp.c_fc", cache.Paths);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task AValueOfAnotherInvoke_StartsOne_IfThePassHasNotGonePast(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Saved whole = await LogitsAsync(llm, NewYork);
        using Trace t = llm.Trace();
        Value early;
        Saved logits;
        using (t.Invoke(NewYork)) early = llm.Layers[0].Hidden;
        using (t.Invoke("_ _ _ _ _ _ _ _ _"))
        {
            t.StartAt(llm.Layers[1], early);
            logits = llm.LmHead.Output.Save();
        }
        await t.RunAsync(Cancel);
        Near(whole, logits);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task WhatComesBefore_IsMissed(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Saved hidden = await HiddenAsync(llm, "Hello", 2);
        foreach (Func<Value> read in (Func<Value>[])[() => llm.Embed.Output, () => llm.Layers[0].Output, () => llm.Layers[1].Mlp.Output])
        {
            using Trace t = llm.Trace("Hello");
            t.StartAt(llm.Layers[2], hidden.Tensor);
            read().Save();
            var missed = await Assert.ThrowsAsync<MissedValueException>(() => t.RunAsync(Cancel));
            Assert.Contains("this invoke starts at `transformer.h.2`", missed.Message, StringComparison.Ordinal);
        }
    }

    public static TheoryData<ExecutionMode, string, ErrorCode, string> Refusals => new(
        from way in Enum.GetValues<ExecutionMode>()
        from refusal in ((string, ErrorCode, string)[])
        [
            ("late", ErrorCode.OutOfOrder, "`transformer.h.0.output`, which this invoke has used"),
            ("past", ErrorCode.OutOfOrder, "had already run past it"),
            ("twice", ErrorCode.InvalidProgram, "starts at `transformer.h.2` already"),
            ("tokens", ErrorCode.ShapeMismatch, "a tensor of shape [1, 7, 128]"),
            ("tuple", ErrorCode.ShapeMismatch, "a tuple of"),
            ("width", ErrorCode.OpFailed, "The model's forward pass failed"),
            ("module", ErrorCode.Unsupported, "It can start at a decoder layer (`transformer.h.0` and on)"),
            ("generate", ErrorCode.Unsupported, "no keys and values of the prompt"),
            ("outside", ErrorCode.InvalidProgram, "outside of any invoke with a prompt"),
            ("loop", ErrorCode.InvalidProgram, "stands in a loop"),
        ]
        select (way, refusal.Item1, refusal.Item2, refusal.Item3));

    [Theory, MemberData(nameof(Refusals))]
    public async Task AStartThatCannotBe_IsRefused(ExecutionMode mode, string how, ErrorCode code, string says)
    {
        LanguageModel llm = Model(mode);
        TensorData hidden = TensorData.Randn([1, 8, 128], seed: 1);
        using Trace t = how is "generate" ? llm.Generate(Paris, 2) : how is "outside" or "past" or "tuple" ? llm.Trace() : llm.Trace(Paris);
        Value other = 0;
        if (how is "past" or "tuple")
        {
            using (t.Invoke(Paris)) other = how == "past" ? llm.Layers[3].Hidden : llm.Layers[0].Output;
        }
        using Invoke? invoke = how is "past" or "tuple" ? t.Invoke(Paris) : null;
        switch (how)
        {
            case "late": llm.Layers[0].Hidden.Save(); break;
            case "past" or "tuple": hidden = null!; break;
            case "twice": t.StartAt(llm.Layers[2], hidden); break;
            case "tokens": hidden = hidden[.., 1..]; break;
            case "width": hidden = hidden[.., .., 1..]; break;
            case "outside":
                using (t.Invoke(Paris)) { }
                break;
        }
        if (how == "loop")
            t.ForEach(Enumerable.Range(0, 2), _ => t.StartAt(llm.Layers[2], hidden));
        else
            t.StartAt(how == "module" ? llm.Layers[2].Mlp : llm.Layers[2], hidden is null ? other : hidden);
        llm.LmHead.Output.Save();
        invoke?.Dispose();
        var thrown = await Assert.ThrowsAnyAsync<NdifException>(() => t.RunAsync(Cancel));
        Assert.Equal(code, thrown.Code);
        Assert.Contains(says, thrown.Message, StringComparison.Ordinal);
        Assert.Contains("StartAtTests.cs:", thrown.Message, StringComparison.Ordinal);
    }
}
