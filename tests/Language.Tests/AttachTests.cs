using Ndif.Engine;

namespace Ndif.Language.Tests;

/// <summary>nnsight's tests of modules that a user adds: test_lm.py, TestEditing and TestMiscellaneous.</summary>
public sealed class AttachTests(ServiceFixture service) : LanguageTests(service)
{
    /// <summary>nnsight's ComplexModule: passes its input through one child.</summary>
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

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestEditing.test_edit_with_attachment")]
    public async Task AnEditThatCallsAnAttachedModule_LetsEachTraceReadAndChangeIt(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
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

    /// <summary>A module with children, two of which have weights and one of which has a child.</summary>
    private sealed class Autoencoder(TensorData encoder, TensorData decoder) : ModuleDefinition
    {
        private readonly Layer _encoder = Linear("encoder", encoder), _inner = Part("inner", new Complex()),
            _decoder = Linear("decoder", decoder);

        protected override Value Forward(Value input) => _decoder.Call(_inner.Call(_encoder.Call(input).Relu()));
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task AnEditThatCallsAnAttachedModule_IsAFileToo_AndBringsTheModule(ExecutionMode mode)
    {
        string file = Path.GetTempFileName();
        try
        {
            LanguageModel llm = Model(mode);
            Envoy sae = llm.Layers[1]
                .Attach("sae", new Autoencoder(TensorData.Randn([128, 64], seed: 1) * 0.1, TensorData.Randn([64, 128], seed: 2) * 0.1));
            LanguageModel edited = llm.Edit(() => llm.Layers[1].Hidden = sae.Call(llm.Layers[1].Hidden));
            edited.ExportEdits(file);
            TensorData expected = await LogitsAsync(edited, Paris);
            Assert.False(expected.SameAs(await LogitsAsync(llm, Paris)));

            var other = new LanguageModel(ServiceFixture.Model, remote: Backend(mode), edits: file); // without the attached module
            Assert.Equal("transformer.h.1.sae.inner", other["transformer.h.1.sae"]["inner"].Path);
            Same(expected, await LogitsAsync(other, Paris));
            using Trace t = other.Trace();
            Saved features, changed;
            using (t.Invoke(Paris)) features = other["transformer.h.1.sae.encoder"].Output.Save();
            using (t.Invoke(Paris))
            {
                other["transformer.h.1.sae.inner.one"].Output[..] = 0;
                changed = other.Layers[1].Hidden.Save();
            }
            await t.RunAsync(Cancel);
            Assert.Equal([1, 8, 64], features.Tensor.Shape.ToArray());
            Zero(changed);
            Assert.Contains("(sae): Autoencoder(", other.ToString(), StringComparison.Ordinal);
            edited.ImportEdits(file); // the edit is applied twice, because the model has it already
            Assert.False(expected.SameAs(await LogitsAsync(edited, Paris)));
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Theory, MemberData(nameof(InProcessModes))]
    public async Task AUsersModule_TakesAttachmentsToo_AndAnEditKnowsThem(ExecutionMode mode)
    {
        using TinyNet net = new();
        NNsight model = net.Wrap();
        Envoy doubled = model["layer1"].Attach("doubled", new Scaled(2));
        NNsight edited = model.Edit(() => model["layer1"].Output = doubled.Call(model["layer1"].Output));
        using Trace t = net.Trace(edited, mode);
        Saved scale = edited["layer1.doubled.scale"].Output.Save(), input = edited["layer2"].Input.Save();
        await t.RunAsync(Cancel);
        Same(input, scale);
        Assert.DoesNotContain("doubled", net.Wrap().ToString(), StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestMiscellaneous.test_undispatched_extra_module", "v0.4/test_lm/test_undispatched_extra_module")]
    public async Task AModuleAttachedBeforeAnythingIsLoaded_IsThere(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode); // only the description is loaded so far
        Envoy extra = llm.Attach("extra", new Scaled(3));
        using Trace t = llm.Generate(NewYork, maxNewTokens: 2);
        Saved scaled = extra.Call(llm.Embed.Output).Save(), embedded = llm.Embed.Output.Save(), ids = t.Result.Save();
        await t.RunAsync(Cancel);
        Near(embedded.Tensor * 3, scaled);
        Assert.EndsWith(" New York", llm.Tokenizer.Decode(ids), StringComparison.Ordinal);
    }
}
