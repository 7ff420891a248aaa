using Ndif.Protocol;

namespace Ndif.Engine.Tests.Interleaving;

public sealed class SkipTests : IDisposable
{
    private static readonly int[] s_prompt = [3, 1, 4, 1, 5], s_short = [9, 2];

    private readonly Rig _rig = Rig.GPT2();

    public void Dispose() => _rig.Dispose();

    private LanguageModel Model => _rig.Model;

    private void SkipSecond() => Model.Layers[1].Skip(Model.Layers[0].Hidden);

    [Fact]
    public void ASkippedModule_DoesNotRun_AndItsOutputIsTheValue()
    {
        Outcome run = _rig.Run(s_prompt, t =>
        {
            Value first = Model.Layers[0].Hidden;
            first.Save("first");
            Model.Layers[1].Skip(first);
            Model.Layers[1].Output[0].Save("second");
            Model.FinalNorm.Input.Save("norm");
        }).Good();
        Near.Same(run.Tensor("first"), run.Tensor("second"));
        Near.Same(run.Tensor("first"), run.Tensor("norm"));
    }

    [Fact]
    public void WhatIsInsideOfASkippedModule_IsMissed()
    {
        Error error = _rig.Run(s_prompt, t =>
        {
            SkipSecond();
            Model.Layers[1].Mlp.Output.Save("mlp");
        }).Bad(ErrorCode.MissedValue);
        Assert.Equal("transformer.h.1.mlp", error.Module);
    }

    [Fact]
    public void OneOfTwoInvokesSkips_AndTheModuleRunsForTheOther()
    {
        TensorData shortAlone = _rig.Run(s_short, _ => { SkipSecond(); Model.Logits.Save("logits"); }).Good().Tensor("logits");
        TensorData longAlone = _rig.Run(s_prompt, _ => Model.Logits.Save("logits")).Good().Tensor("logits");
        Outcome run = _rig.Run(_rig.Record(null, t =>
        {
            using (t.Invoke(s_short))
            {
                SkipSecond();
                Model.Logits.Save("short");
            }
            using (t.Invoke(s_prompt))
            {
                Model.Layers[1].Mlp.Output.Save("mlp");
                Model.Logits.Save("long");
            }
        }))[0].Good();
        Near.Equal(shortAlone, run.Tensor("short"));
        Near.Equal(longAlone, run.Tensor("long"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AllInvokesSkip_AndTheModuleDoesNotRun(bool tuples)
    {
        TensorData[] alone = [.. new[] { s_short, s_prompt }.Select(p => _rig.Run(p, t => { Skip(t); Model.Logits.Save("logits"); }).Good().Tensor("logits"))];
        Program both = _rig.Record(null, t =>
        {
            using (t.Invoke(s_short)) { Skip(t); Model.Logits.Save("0"); }
            using (t.Invoke(s_prompt)) { Skip(t); Model.Logits.Save("1"); }
        });
        Outcome run = _rig.Run(both)[0].Good();
        for (int i = 0; i < 2; i++) Near.Equal(alone[i], run.Tensor($"{i}"));
        Outcome inner = _rig.Run(_rig.Record(null, t =>
        {
            using (t.Invoke(s_short)) Skip(t);
            using (t.Invoke(s_prompt)) { Skip(t); Model.Layers[1].Attn["c_attn"].Output.Save("inner"); }
        }))[0];
        inner.Bad(ErrorCode.MissedValue);

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
            both.Append(inputs.Kwargs["attention_mask"]); // [rows, 1, tokens, keys], as probabilities of one head
            Model.Layers[1].Attn.Skip(both);
        }
    }

    [Fact]
    public void SkippingTwice_InOneInvoke_DoesNotSkipTheOthersRow()
    {
        TensorData alone = _rig.Run(s_short, _ => Model.Logits.Save("logits")).Good().Tensor("logits");
        Outcome run = _rig.Run(_rig.Record(null, t =>
        {
            using (t.Invoke(s_prompt))
            {
                Value first = Model.Layers[0].Hidden;
                Model.Layers[1].Skip(first * 0);
                Model.Layers[1].Skip(first);
                Model.Layers[1].Hidden.Save("skipped");
            }
            using (t.Invoke(s_short)) Model.Logits.Save("short");
        }))[0].Good();
        Near.Equal(alone, run.Tensor("short"));
        Near.Equal(_rig.Run(s_prompt, _ => Model.Layers[0].Hidden.Save("first")).Tensor("first"), run.Tensor("skipped"));
    }

    [Fact]
    public void AnEmptyInvoke_SkipsForAllRowsOfItsTrace()
    {
        Outcome run = _rig.Run(_rig.Record(null, t =>
        {
            using (t.Invoke(s_prompt)) Model.FinalNorm.Input.Save("long");
            using (t.Invoke(s_short)) Model.FinalNorm.Input.Save("short");
            using (t.Invoke()) SkipSecond();
        }))[0].Good();
        Near.Equal(_rig.Run(s_prompt, _ => Model.Layers[0].Hidden.Save("first")).Tensor("first"), run.Tensor("long"));
        Near.Equal(_rig.Run(s_short, _ => Model.Layers[0].Hidden.Save("first")).Tensor("first"), run.Tensor("short"));
    }

    [Fact]
    public void AValueThatDoesNotFit_IsAnErrorOfTheLineThatSkips()
    {
        Error tokens = _rig.Run(s_prompt, t => Model.Layers[1].Skip(Model.Layers[0].Hidden[.., 1..])).Bad(ErrorCode.ShapeMismatch);
        Assert.Contains("[1, 4, 16]", tokens.Message, StringComparison.Ordinal);
        Error width = _rig.Run(s_prompt, t => Model.Layers[1].Skip(Model.Layers[0].Hidden[.., .., 1..])).Bad(ErrorCode.OpFailed);
        Assert.Equal(tokens.Line.File, width.Line.File);
        Assert.StartsWith("The model's forward pass failed: ", width.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AStepOfAGeneration_CanBeSkipped()
    {
        Outcome all = _rig.Run(s_prompt, 3, t =>
        {
            foreach (int _ in t.Iter[..]) Model.Layers[1].Skip(Model.Layers[0].Hidden);
            t.Result.Save("ids");
        }).Good();
        Assert.Equal(8, all.Tensor("ids").Shape[1]);
        Error once = _rig.Run(s_prompt, 3, t =>
        {
            foreach (int _ in t.Iter[0]) Model.Layers[1].Skip(Model.Layers[0].Hidden);
            t.Result.Save("ids");
        }).Bad(ErrorCode.Unsupported);
        Assert.Contains("Layer 1 did not run in an earlier step", once.Message, StringComparison.Ordinal);
    }
}
