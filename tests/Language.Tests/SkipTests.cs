namespace Ndif.Language.Tests;

/// <summary>nnsight's test_lm.py, TestSkip and TestOrder.</summary>
public sealed class SkipTests(ServiceFixture service) : LanguageTests(service)
{
    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestSkip.test_basic_skip")]
    public async Task ASkippedModule_GivesTheValue(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        Value first = llm.Layers[0].Output;
        llm.Layers[1].Skip(first);
        Saved before = first[0].Save(), after = llm.Layers[1].Output[0].Save(), next = llm.Layers[2].Input.Save();
        await t.RunAsync(Cancel);
        Same(before, after);
        Same(before, next);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestSkip.test_skip_with_input_modification")]
    public async Task ASkip_GoesBeforeAnEditOfTheInput(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        Value first = llm.Layers[0].Output[0].Clone();
        llm.Layers[1].Input[..] = 0;
        llm.Layers[1].Skip(first);
        Saved before = first.Save(), after = llm.Layers[1].Output[0].Save();
        await t.RunAsync(Cancel);
        NotZero(before);
        Same(before, after);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestSkip.test_multiple_skip")]
    public async Task SkipsOfLayersInARow_CarryTheValueOn(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        Value first = llm.Layers[0].Output;
        for (int layer = 1; layer < llm.Layers.Count; layer++) llm.Layers[layer].Skip(first);
        Saved before = first[0].Save(), last = llm.FinalNorm.Input.Save();
        await t.RunAsync(Cancel);
        Same(before, last);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestSkip.test_skip_inner_module_error")]
    public async Task WhatIsInsideOfASkippedModule_IsMissed(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        llm.Layers[1].Skip(llm.Layers[0].Output);
        llm.Layers[1].Mlp.Output.Save();
        var missed = await Assert.ThrowsAsync<MissedValueException>(() => t.RunAsync(Cancel));
        Assert.Contains("`transformer.h.1.mlp.output`", missed.Message, StringComparison.Ordinal);
        Assert.Contains("llm.Layers[1].Mlp.Output.Save();", missed.Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestSkip.test_skip_batched")]
    public async Task InvokesSkip_EachItsOwnRows(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Saved plain = await llm.TraceAsync(NewYork, _ => llm.Layers[1].Hidden.Save(), cancellationToken: Cancel);
        foreach (bool both in (bool[])[true, false])
        {
            using Trace t = llm.Trace();
            Saved firstIn, firstOut, second;
            using (t.Invoke(Paris))
            {
                firstIn = llm.Layers[0].Hidden.Save();
                llm.Layers[1].Skip(llm.Layers[0].Output);
                firstOut = llm.Layers[1].Hidden.Save();
            }
            using (t.Invoke(NewYork))
            {
                if (both) llm.Layers[1].Skip(Op.ZerosLike(llm.Layers[0].Hidden));
                second = llm.Layers[1].Hidden.Save();
            }
            await t.RunAsync(Cancel);
            Same(firstIn, firstOut);
            if (both) Zero(second);
            else Near(plain, second);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestOrder.test_out_of_order_error", "test_debug/TestOutOfOrderErrors.test_out_of_order_basic",
        "test_debug/TestOutOfOrderErrors.test_out_of_order_exception_type_preserved",
        "test_debug/TestOutOfOrderInInvokes.test_out_of_order_in_single_invoke",
        "test_debug/TestExceptionMessages.test_out_of_order_message_content", "test_remote/TestErrorCases.test_out_of_order_remote")]
    public async Task ALayerReadTooLate_IsSaid_WithItsNameAndLine(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace("Hello");
        llm.Layers[3].Hidden.Save();
        llm.Layers[1].Hidden.Save();
        var late = await Assert.ThrowsAsync<OutOfOrderException>(() => t.RunAsync(Cancel));
        Assert.Equal("transformer.h.1", late.Module);
        Assert.StartsWith("Value was missed for `transformer.h.1.output` (call 0): the model had already run past it when it was accessed.",
            late.Message, StringComparison.Ordinal);
        Assert.Contains("SkipTests.cs:", late.Message, StringComparison.Ordinal);
        Assert.Contains("llm.Layers[1].Hidden.Save();", late.Message, StringComparison.Ordinal);
        Assert.Contains("here `transformer.h.3.output` came first", late.Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestOrder.test_out_of_order_skip_2")]
    public async Task ASkipThatComesTooLate_IsAnError(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace("Hello");
        Value first = llm.Layers[0].Output;
        llm.Layers[2].Skip(first);
        llm.Layers[1].Skip(first);
        var late = await Assert.ThrowsAsync<OutOfOrderException>(() => t.RunAsync(Cancel));
        Assert.Equal("transformer.h.1", late.Module);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task AModulesInput_IsReadAtItsOutput(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace("Hello");
        Saved before = llm.Layers[1].Hidden.Save(), output = llm.Layers[2].Hidden.Save(), input = llm.Layers[2].Input.Save();
        await t.RunAsync(Cancel);
        Same(before, input);
        Assert.False(output.Tensor.SameAs(input));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_debug/TestOutOfOrderInInvokes.test_correct_order_across_invokes")]
    public async Task InvokesHaveOrdersOfTheirOwn(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace();
        Saved late, early;
        using (t.Invoke("Hello")) late = llm.Layers[3].Hidden.Save();
        using (t.Invoke("World")) early = llm.Layers[1].Hidden.Save();
        await t.RunAsync(Cancel);
        Assert.True(late.HasValue && early.HasValue);
    }
}
