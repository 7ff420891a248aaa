using Ndif.Engine.Tests.Support;
using Ndif.Models;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.HookedModels;

/// <summary>Models with an encoder, which reads the prompt, and a decoder, which generates.</summary>
public sealed class EncoderDecoderTests
{
    private static readonly int[] _prompt = [5, 6, 7, 8], _longer = [9, 3, 4, 11, 12, 13, 2];
    private static readonly int[][] _two = [[5, 6, 7], [8, 9]];

    public static TheoryData<string> Names => ["t5", "t5 gated", "mt5", "bart"];

    private static EngineFixture New(string name) => EngineFixture.Of(TinyConfigs.Of(name, 2));

    [Theory]
    [MemberData(nameof(Names))]
    public void EveryModule_Batched_GivesWhatItGivesAlone(string name)
    {
        using EngineFixture fixture = New(name);
        long[][] decoder = [[3, 4, 5], [6, 7, 8]];
        Program other = fixture.Record(new TokenInput(Ids([.. _longer])) { DecoderInputIds = Ids(1, 2, 3, 4, 5) },
            _ => fixture.Model.Logits.Save("output"));
        int compared = 0;
        foreach (SiteModule module in fixture.HookedModel.Root.Modules.Where(m => !m.IsList))
        {
            Program Read() => fixture.RecordIn(fixture.Model.Trace(_two, decoderInputIds: decoder), _ =>
            {
                (module.Path.Length == 0 ? fixture.Model : fixture.Model[module.Path]).Output.Save("value");
            });
            JobOutcome alone = fixture.Run(Read())[0];
            if (alone.Error is { Code: ErrorCode.MissedValue }) continue; // it is never called
            OutcomeAssert.Same(alone.AssertCompleted(), fixture.Run(other, Read())[1], module.Path);
            compared++;
        }
        Assert.True(compared > 20);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void ABatchedGeneration_ReadsAndEditsWhatItDoesAlone(string name)
    {
        using EngineFixture fixture = New(name);
        Program own = Generation(fixture, _two, 4), other = Generation(fixture, _longer, 7);
        JobOutcome alone = fixture.Run(own)[0].AssertCompleted(), otherAlone = fixture.Run(other)[0].AssertCompleted();
        JobOutcome[] both = fixture.Run(other, own);
        OutcomeAssert.Same(otherAlone, both[0], "the other");
        OutcomeAssert.Same(alone, both[1], "own");
        Assert.Equal([2, 1 + 4], alone.Tensor("ids").Shape.ToArray());
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void TheFirstStep_IsAPassOverTheStartToken_AndLaterStepsDoNotRunTheEncoder(string name)
    {
        using EngineFixture fixture = New(name);
        JobOutcome outcome = fixture.Run(_prompt, 3, t =>
        {
            ValueList steps = t.List();
            steps.Save("steps");
            fixture.Model.Encoder.Output["last_hidden_state"].Save("encoded");
            foreach (int _ in t.Iter[..]) steps.Append(fixture.Model.Layers[0].Hidden);
        }).AssertCompleted();
        Assert.Equal([1, 4, 16], outcome.Tensor("encoded").Shape.ToArray());
        Assert.All(outcome.Tensors("steps"), step => Assert.Equal([1, 1, 16], step.Shape.ToArray()));
        TensorData pass = fixture.Run(_prompt, _ => fixture.Model.Layers[0].Hidden.Save("hidden")).AssertCompleted().Tensor("hidden");
        TensorAssert.Equal(pass, outcome.Tensors("steps")[0]);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void AnEditOfTheEncoder_ChangesEveryLaterStep(string name)
    {
        using EngineFixture fixture = New(name);
        TensorData[] plain = Hidden(edited: false), changed = Hidden(edited: true);
        for (int step = 0; step < 3; step++) Assert.True(TensorAssert.Difference(plain[step], changed[step]) > 1e-3);

        TensorData[] Hidden(bool edited) => fixture.Run(_prompt, 3, t =>
        {
            ValueList steps = t.List();
            steps.Save("steps");
            if (edited) fixture.Model.EncoderLayers[0].Hidden[.., .., 0] += 2;
            foreach (int _ in t.Iter[..]) steps.Append(fixture.Model.Layers[0].Hidden);
        }).AssertCompleted().Tensors("steps");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task AScan_HasTheShapesOfARun(string name)
    {
        using EngineFixture fixture = New(name);
        List<string> shapes = [];
        foreach (bool isScan in (bool[])[true, false])
        {
            using Trace t = isScan ? fixture.Model.Scan(_two) : fixture.Model.Trace(_two);
            Saved encoded = fixture.Model.EncoderLayers[0].Hidden.Shape.Save(),
                cross = fixture.Model.Layers[0].CrossAttn.Output[0].Shape.Save(), logits = fixture.Model.Logits.Shape.Save();
            await t.RunAsync(TestContext.Current.CancellationToken);
            shapes.Add($"{encoded} {cross} {logits}");
        }
        Assert.Equal(shapes[1], shapes[0]);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Gradients_FlowFromTheDecoderToTheEncoder(string name)
    {
        using EngineFixture fixture = New(name);
        using Trace trace = fixture.Model.Trace(_two, grad: true);
        Value encoded = fixture.Model.EncoderLayers[0].Hidden;
        trace.Backward(fixture.Model.Logits.Square().Sum(), () => encoded.Grad.Save("gradient"));
        TensorData gradient = fixture.Run(trace.ToProgram())[0].AssertCompleted().Tensor("gradient");
        Assert.Equal([2, 3, 16], gradient.Shape.ToArray());
        Assert.Contains(gradient.ToArray<float>(), g => Math.Abs(g) > 1e-6);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void ASkippedLayer_IsSkippedTheSameBatched(string name)
    {
        using EngineFixture fixture = New(name);
        Program Skipped() => fixture.RecordIn(fixture.Model.Trace(_prompt, decoderInputIds: _prompt), _ =>
        {
            fixture.Model.Layers[0].Skip(fixture.Model.Layers[0].Input);
            fixture.Model.Logits.Save("logits");
        });
        Program other = fixture.Record(_longer, _ => fixture.Model.Logits.Save("logits"));
        JobOutcome alone = fixture.Run(Skipped())[0].AssertCompleted();
        OutcomeAssert.Same(alone, fixture.Run(other, Skipped())[1], name);
    }

    [Fact]
    public void OptionsOfTheEncodersTokens_SeeThePrompt()
    {
        using EngineFixture fixture = New("t5");
        int[] all = [.. Enumerable.Range(4, 34)];
        long[] ids = Generate(fixture, all, new() { EncoderNoRepeatNgramSize = 1, IgnoreEos = true });
        Assert.DoesNotContain(ids.Skip(1), id => all.Contains((int)id));
    }

    [Fact]
    public void TheStartToken_IsThatOfTheGenerationConfig()
    {
        using EngineFixture fixture = EngineFixture.WithDefaults("""{ "decoder_start_token_id": 7 }""", TinyConfigs.Of("t5", 2));
        Assert.Equal(7, Generate(fixture, _prompt, new() { IgnoreEos = true })[0]);
    }

    private static long[] Generate(EngineFixture fixture, int[] prompt, GenerationOptions options) =>
        fixture.Run(fixture.RecordIn(fixture.Model.Generate(prompt, 6, options), t => t.Result.Save("ids")))[0].AssertCompleted()
            .Tensor("ids").ToArray<long>();

    [Fact]
    public void TokensOfADecoder_OfAModelWithout_AreRefused()
    {
        using EngineFixture fixture = EngineFixture.GPT2();
        fixture.Run(new TokenInput(Ids(5, 6)) { DecoderInputIds = Ids(1) }, _ => fixture.Model.Logits.Save("logits"))
            .AssertFailed(ErrorCode.BadInput);
    }

    private static Program Generation(EngineFixture fixture, object prompt, int tokens) => fixture.Record(prompt, tokens, t =>
    {
        ValueList hidden = t.List(), cross = t.List();
        hidden.Save("hidden");
        cross.Save("cross");
        fixture.Model.EncoderLayers[0].Hidden[.., 1] *= 1.5;
        foreach (int _ in t.Iter[..])
        {
            cross.Append(fixture.Model.Layers[1].CrossAttn.Output[1]);
            fixture.Model.Layers[1].Hidden *= 1.1;
            hidden.Append(fixture.Model.Layers[1].Hidden);
        }
        t.Result.Save("ids");
    });

    private static TensorData Ids(params long[] ids) => TensorData.FromArray(ids, 1, ids.Length);
}
