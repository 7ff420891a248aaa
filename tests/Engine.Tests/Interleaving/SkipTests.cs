using Ndif.Engine.Tests.Support;
using Ndif.Protocol;


namespace Ndif.Engine.Tests.Interleaving;

public sealed class SkipTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4, 1, 5], _short = [9, 2];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    private void SkipSecond() => Model.Layers[1].Skip(Model.Layers[0].Hidden);

    [Fact]
    public void ASkippedModule_DoesNotRun_AndItsOutputIsTheValue()
    {
        JobOutcome run = _fixture.Run(_prompt, t =>
        {
            Value first = Model.Layers[0].Hidden;
            first.Save("first");
            Model.Layers[1].Skip(first);
            Model.Layers[1].Output[0].Save("second");
            Model.FinalNorm.Input.Save("norm");
        }).AssertCompleted();
        TensorAssert.Same(run.Tensor("first"), run.Tensor("second"));
        TensorAssert.Same(run.Tensor("first"), run.Tensor("norm"));
    }

    [Fact]
    public void WhatIsInsideOfASkippedModule_IsMissed()
    {
        Error error = _fixture.Run(_prompt, t =>
        {
            SkipSecond();
            Model.Layers[1].Mlp.Output.Save("mlp");
        }).AssertFailed(ErrorCode.MissedValue);
        Assert.Equal("transformer.h.1.mlp", error.Module);
    }

    [Fact]
    public void OneOfTwoInvokesSkips_AndTheModuleRunsForTheOther()
    {
        TensorData shortAlone = _fixture.Run(_short, _ => { SkipSecond(); Model.Logits.Save("logits"); }).AssertCompleted()
            .Tensor("logits");
        TensorData longAlone = _fixture.Run(_prompt, _ => Model.Logits.Save("logits")).AssertCompleted().Tensor("logits");
        JobOutcome run = _fixture.Run(_fixture.Record(null, t =>
        {
            using (t.Invoke(_short))
            {
                SkipSecond();
                Model.Logits.Save("short");
            }
            using (t.Invoke(_prompt))
            {
                Model.Layers[1].Mlp.Output.Save("mlp");
                Model.Logits.Save("long");
            }
        }))[0].AssertCompleted();
        TensorAssert.Equal(shortAlone, run.Tensor("short"));
        TensorAssert.Equal(longAlone, run.Tensor("long"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AllInvokesSkip_AndTheModuleDoesNotRun(bool tuples)
    {
        TensorData[] alone =
            [.. new[] { _short, _prompt }.Select(p => _fixture.Run(p, t => { Skip(t); Model.Logits.Save("logits"); }).AssertCompleted()
                .Tensor("logits"))];
        Program both = _fixture.Record(null, t =>
        {
            using (t.Invoke(_short)) { Skip(t); Model.Logits.Save("0"); }
            using (t.Invoke(_prompt)) { Skip(t); Model.Logits.Save("1"); }
        });
        JobOutcome run = _fixture.Run(both)[0].AssertCompleted();
        for (int i = 0; i < 2; i++) TensorAssert.Equal(alone[i], run.Tensor($"{i}"));
        JobOutcome inner = _fixture.Run(_fixture.Record(null, t =>
        {
            using (t.Invoke(_short)) Skip(t);
            using (t.Invoke(_prompt)) { Skip(t); Model.Layers[1].Attn["c_attn"].Output.Save("inner"); }
        }))[0];
        inner.AssertFailed(ErrorCode.MissedValue);

        void Skip(Trace t)
        {
            Inputs inputs = Model.Layers[1].Attn.Inputs;
            if (!tuples)
            {
                Model.Layers[1].Attn.Skip(inputs.Args[0]);
                return;
            }
            ValueList both = t.List();
            both.Append(inputs.Args[0]);
            both.Append(inputs.Kwargs["attention_mask"]); // [batch, 1, seq, kvSeq], as probabilities of one head
            Model.Layers[1].Attn.Skip(both);
        }
    }

    [Fact]
    public void SkippingTwice_InOneInvoke_DoesNotSkipTheOthersRow()
    {
        TensorData alone = _fixture.Run(_short, _ => Model.Logits.Save("logits")).AssertCompleted().Tensor("logits");
        JobOutcome run = _fixture.Run(_fixture.Record(null, t =>
        {
            using (t.Invoke(_prompt))
            {
                Value first = Model.Layers[0].Hidden;
                Model.Layers[1].Skip(first * 0);
                Model.Layers[1].Skip(first);
                Model.Layers[1].Hidden.Save("skipped");
            }
            using (t.Invoke(_short)) Model.Logits.Save("short");
        }))[0].AssertCompleted();
        TensorAssert.Equal(alone, run.Tensor("short"));
        TensorAssert.Equal(_fixture.Run(_prompt, _ => Model.Layers[0].Hidden.Save("first")).Tensor("first"), run.Tensor("skipped"));
    }

    [Fact]
    public void AnEmptyInvoke_SkipsForAllRowsOfItsTrace()
    {
        JobOutcome run = _fixture.Run(_fixture.Record(null, t =>
        {
            using (t.Invoke(_prompt)) Model.FinalNorm.Input.Save("long");
            using (t.Invoke(_short)) Model.FinalNorm.Input.Save("short");
            using (t.Invoke()) SkipSecond();
        }))[0].AssertCompleted();
        TensorAssert.Equal(_fixture.Run(_prompt, _ => Model.Layers[0].Hidden.Save("first")).Tensor("first"), run.Tensor("long"));
        TensorAssert.Equal(_fixture.Run(_short, _ => Model.Layers[0].Hidden.Save("first")).Tensor("first"), run.Tensor("short"));
    }

    [Fact]
    public void AValueThatDoesNotFit_IsAnErrorOfTheLineThatSkips()
    {
        Error tokens = _fixture.Run(_prompt, t => Model.Layers[1].Skip(Model.Layers[0].Hidden[.., 1..]))
            .AssertFailed(ErrorCode.ShapeMismatch);
        Assert.Contains("[1, 4, 16]", tokens.Message, StringComparison.Ordinal);
        Error width = _fixture.Run(_prompt, t => Model.Layers[1].Skip(Model.Layers[0].Hidden[.., .., 1..]))
            .AssertFailed(ErrorCode.OpFailed);
        Assert.Equal(tokens.Line.File, width.Line.File);
        Assert.StartsWith("The model's forward pass failed: ", width.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AStepOfAGeneration_CanBeSkipped()
    {
        JobOutcome all = _fixture.Run(_prompt, 3, t =>
        {
            foreach (int _ in t.Iter[..]) Model.Layers[1].Skip(Model.Layers[0].Hidden);
            t.Result.Save("ids");
        }).AssertCompleted();
        Assert.Equal(8, all.Tensor("ids").Shape[1]);
        Error once = _fixture.Run(_prompt, 3, t =>
        {
            foreach (int _ in t.Iter[0]) Model.Layers[1].Skip(Model.Layers[0].Hidden);
            t.Result.Save("ids");
        }).AssertFailed(ErrorCode.Unsupported);
        Assert.Contains("Layer 1 did not run in an earlier step", once.Message, StringComparison.Ordinal);
    }

    /// <summary>The last layers of this Gemma 4 attend to the keys of the first ones.</summary>
    [Fact]
    public void ASkippedLayer_WhoseKeysLaterLayersShare_IsNamed()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of("gemma4", 2));
        LanguageModel llm = fixture.Model;
        Error alone = fixture.Run(_prompt, t =>
        {
            llm.Layers[1].Skip(llm.Layers[0].Hidden);
            llm.Logits.Save("logits");
        }).AssertFailed(ErrorCode.Unsupported);
        Assert.Contains("`model.layers.3.self_attn` attends to the keys and values", alone.Message, StringComparison.Ordinal);
        fixture.Run(_prompt, t =>
        {
            llm.Layers[1].Skip(llm.Layers[0].Hidden);
            llm.Layers[3].Skip(llm.Layers[2].Hidden);
            llm.Logits.Save("logits");
        }).AssertCompleted();
    }
}
