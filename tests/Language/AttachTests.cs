namespace Ndif.Language;

/// <summary>nnsight's tests of modules that a user adds: test_lm.py, TestEditing and TestMiscellaneous.</summary>
public sealed class AttachTests(Service service) : LanguageTests(service)
{
    /// <summary>nnsight's ComplexModule: hands its input on through a part.</summary>
    private sealed class Complex : ModuleDefinition
    {
        private readonly Layer _one = Step("one", x => x * 1);

        protected override Value Forward(Value input) => _one.Call(input);
    }

    private sealed class Scaled(double by) : ModuleDefinition
    {
        private readonly Layer _scale = Step("scale", x => x * by);

        protected override Value Forward(Value input) => _scale.Call(input);
    }

    [Theory, MemberData(nameof(Ways))]
    [Carries("test_lm/TestEditing.test_edit_with_attachment")]
    public async Task AnEditThatCallsAnAttachedModule_LetsEachTraceReadAndChangeIt(Way way)
    {
        LanguageModel llm = Model(way);
        Envoy first = llm.Layers[0], attachment = first.Attach("attachment", new Complex());
        llm.Edit(() => first.Hidden = attachment.Call(first.Hidden), inPlace: true);
        using Trace t = llm.Trace();
        Saved original, whole, part;
        using (t.Invoke(Paris))
        {
            whole = attachment.Output.Save();
            original = first.Hidden.Save();
        }
        using (t.Invoke(Paris)) part = attachment["one"].Output.Save();
        await t.RunAsync(Cancel);
        Same(original, whole);
        Near(original, part);
        using Trace changed = llm.Trace(Paris);
        attachment["one"].Output[..] = 0;
        Saved zeroed = first.Hidden.Save();
        await changed.RunAsync(Cancel);
        Zero(zeroed);
        Assert.Contains("(attachment): Complex(", llm.ToString(), StringComparison.Ordinal);
        Assert.Contains("(one): Step()", llm.ToString(), StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Ways))]
    [Carries("test_lm/TestMiscellaneous.test_undispatched_extra_module", "v0.4/test_lm/test_undispatched_extra_module")]
    public async Task AModuleAttachedBeforeAnythingIsLoaded_IsThere(Way way)
    {
        LanguageModel llm = Model(way); // nothing but its description is known yet
        Envoy extra = llm.Attach("extra", new Scaled(3));
        using Trace t = llm.Generate(NewYork, maxNewTokens: 2);
        Saved scaled = extra.Call(llm.Embed.Output).Save(), embedded = llm.Embed.Output.Save(), ids = t.Result.Save();
        await t.RunAsync(Cancel);
        Near(embedded.Tensor * 3, scaled);
        Assert.EndsWith(" New York", llm.Tokenizer.Decode(ids), StringComparison.Ordinal);
    }
}
