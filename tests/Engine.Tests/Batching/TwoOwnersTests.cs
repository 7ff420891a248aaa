using Ndif.Protocol;

namespace Ndif.Engine.Tests.Batching;

/// <summary>Programs of several owners in one pass: each gets what it would get alone, whatever becomes of the others.</summary>
public sealed class TwoOwnersTests : IDisposable
{
    private static readonly int[] s_five = [3, 1, 4, 1, 5], s_two = [9, 2], s_other = [7, 7, 8, 2, 6], s_unknown = [1, 40_000];

    private readonly Rig _rig = Rig.GPT2();

    public void Dispose() => _rig.Dispose();

    private LanguageModel Model => _rig.Model;

    private Program Quiet(object prompt) => _rig.Record(prompt, t =>
    {
        Model.Layers[0].Hidden[.., ^1] *= 2;
        Model.Layers[1].Hidden.Save("hidden");
        Model.Logits.Save("logits");
    });

    public static TheoryData<string, ErrorCode> Failures() => new()
    {
        { "index", ErrorCode.IndexOutOfRange }, { "shape", ErrorCode.ShapeMismatch }, { "replacement", ErrorCode.ShapeMismatch },
        { "missed", ErrorCode.MissedValue }, { "order", ErrorCode.OutOfOrder },
    };

    private Program Failing(string how, object prompt) => _rig.Record(prompt, t =>
    {
        Value first = Model.Layers[0].Hidden;
        first.Save("before");
        switch (how)
        {
            case "index": _ = first[.., 99]; break;
            case "shape": _ = first + TensorData.FromArray(new float[3]); break;
            case "replacement": Model.Layers[0].Hidden = TensorData.FromArray(new float[48], 1, 3, 16); break;
            case "missed": _ = Model["transformer.h.0.attn.attn_dropout"].Output; break; // Hugging Face's code never calls it
            case "order": Model.Embed.Output.Save("late"); break;
        }
        Model.Layers[1].Hidden[..] = 0;
        Model.Logits.Save("after");
    });

    [Theory]
    [MemberData(nameof(Failures))]
    public void AnOwnerThatFails_LeavesTheOther_AsItWas(string how, ErrorCode code)
    {
        Outcome alone = _rig.Run(Quiet(s_five))[0].Good();
        Outcome beside = _rig.Run(Quiet(s_other), Quiet(s_five))[1].Good();
        foreach (bool first in (bool[])[true, false])
        {
            Program bad = Failing(how, s_other);
            Outcome[] both = first ? _rig.Run(bad, Quiet(s_five)) : _rig.Run(Quiet(s_five), bad);
            Outcome failed = both[first ? 0 : 1], good = both[first ? 1 : 0].Good();
            failed.Bad(code);
            Assert.Contains("before", failed.Names);
            Assert.DoesNotContain("after", failed.Names);
            foreach (string name in (string[])["hidden", "logits"])
            {
                Near.Equal(alone.Tensor(name), good.Tensor(name), 1e-5);
                if (first) Near.Same(beside.Tensor(name), good.Tensor(name));
            }
        }
    }

    [Fact]
    public void AnOwnerThatIsCancelled_InTheMiddle_LeavesTheOther_AsItWas()
    {
        Outcome beside = _rig.Run(Quiet(s_other), Quiet(s_five))[1].Good();
        using CancellationTokenSource cancel = new();
        Program cancelled = _rig.Record(s_other, t =>
        {
            t.Log(Model.Layers[0].Hidden.Shape);
            Model.Logits.Save("logits");
        });
        Outcome[] both = _rig.Run((cancelled, new Outcome { OnLog = cancel.Cancel }, cancel.Token), (Quiet(s_five), new Outcome(), CancellationToken.None));
        both[0].Bad(ErrorCode.JobCancelled);
        Assert.DoesNotContain("logits", both[0].Names);
        Near.Same(beside.Tensor("logits"), both[1].Good().Tensor("logits"));
    }

    [Fact]
    public void AForwardThatFails_OnOneOwnersValue_IsThatOwnersFailure()
    {
        Program bad = _rig.Record(s_other, t =>
        {
            Model.Embed.Input[.., 2] = 99_999; // no such token
            Model.Logits.Save("logits");
        });
        Outcome[] both = _rig.Run(bad, Quiet(s_five));
        both[0].Bad(ErrorCode.OpFailed);
        Near.Equal(_rig.Run(Quiet(s_five))[0].Tensor("logits"), both[1].Good().Tensor("logits"), 1e-5);
        Assert.Equal(5, both[1].Tokens);
    }

    [Fact]
    public void AForwardThatFails_IsRepeatedAlone_WithoutRepeatingLogLines()
    {
        Program bad = _rig.Record(s_other, t => Model.Embed.Input[.., 2] = 99_999);
        Program good = _rig.Record(s_five, t =>
        {
            ValueList list = t.List();
            list.Save("list");
            t.Log("ids", Model.Embed.Input);
            list.Append(Model.Embed.Output);
            t.Log("end", Model.Logits.Shape);
        });
        Outcome outcome = _rig.Run(bad, good)[1].Good();
        Assert.Equal(2, outcome.Logs.Count);
        Assert.Single(outcome.Tensors("list"));
    }

    public static TheoryData<string> Meddling() => ["keyword", "cache", "nothing", "unknown", "skip width", "skip number", "skip rank"];

    [Theory]
    [MemberData(nameof(Meddling))]
    public void WhatAllRowsShare_IsNotOneOwnersToChange(string how)
    {
        Program bad = _rig.Record(s_other, t =>
        {
            Envoy root = Model, layer = Model.Layers[1];
            switch (how)
            {
                case "keyword": root.Inputs = new Inputs([], new() { ["logits_to_keep"] = 1 }); break;
                case "cache": layer.Input = layer.Inputs.Args[1]; break;
                case "nothing": layer.Inputs = new Inputs([layer.Input, layer.Input, layer.Inputs.Args[3], layer.Input]); break;
                case "unknown": layer.Inputs = new Inputs([], new() { ["attention"] = 1 }); break;
                case "skip width": layer.Skip(TensorData.FromArray(new float[5 * 7], 1, 5, 7)); break;
                case "skip number": layer.Skip(3); break;
                case "skip rank": layer.Skip(Model.Embed.Input); break;
            }
        });
        Outcome[] both = _rig.Run(bad, Quiet(s_five));
        Assert.Contains(both[0].Error!.Code, (ErrorCode[])[ErrorCode.BadArgument, ErrorCode.ShapeMismatch]);
        Near.Equal(_rig.Run(Quiet(s_five))[0].Tensor("logits"), both[1].Good().Tensor("logits"), 1e-5);
    }

    [Fact]
    public void TwoOwnersThatSkipTheSameModule_WithShapesThatDoNotFit_FailOnlyWhereItDoesNotFit()
    {
        Program bad = _rig.Record(s_other, t =>
        {
            Model.Layers[1].Skip(TensorData.FromArray(new float[5 * 7], 1, 5, 7));
            Model.Logits.Save("logits");
        });
        Program good = _rig.Record(s_five, t =>
        {
            Model.Layers[1].Skip(Model.Layers[0].Hidden);
            Model.Logits.Save("logits");
        });
        Outcome alone = _rig.Run(good)[0].Good();
        Outcome[] both = _rig.Run(bad, good);
        both[0].Bad(ErrorCode.ShapeMismatch);
        Near.Equal(alone.Tensor("logits"), both[1].Good().Tensor("logits"), 1e-5);
    }

    [Fact]
    public void ThreeOwners_OfDifferentLengths_GetWhatTheyGetAlone()
    {
        Program[] programs = [Quiet(s_two), Quiet(s_five), Quiet(new[] { s_two, [1, 2, 3, 4, 5, 6, 7] })];
        Outcome[] alone = [.. programs.Select(p => _rig.Run(p)[0].Good())];
        Outcome[] together = _rig.Run(programs);
        for (int i = 0; i < 3; i++)
        {
            Near.Equal(alone[i].Tensor("hidden"), together[i].Good().Tensor("hidden"));
            Near.Equal(alone[i].Tensor("logits"), together[i].Tensor("logits"));
            Assert.Equal(Near.Top(alone[i].Tensor("logits")), Near.Top(together[i].Tensor("logits")));
            Assert.Equal(alone[i].Tokens, together[i].Tokens);
        }
    }

    [Fact]
    public void GenerationsOfDifferentLength_NextToAForward_GetWhatTheyGetAlone()
    {
        Program Generating(object prompt, int tokens, float factor) => _rig.Record(prompt, tokens, t =>
        {
            ValueList list = t.List();
            list.Save("logits");
            foreach (int step in t.Iter[..])
            {
                if (step == 1) Model.Layers[0].Hidden[.., ^1] *= factor;
                list.Append(Model.Logits[.., ^1]);
            }
            t.Result.Save("ids");
        });
        Program[] programs = [Generating(s_two, 3, 2), Quiet(s_other), Generating(s_five, 6, 3), Generating(new[] { s_other, s_two }, 1, 4)];
        Outcome[] alone = [.. programs.Select(p => _rig.Run(p)[0].Good())];
        Outcome[] together = _rig.Run(programs);
        foreach (int i in (int[])[0, 2, 3])
        {
            Near.Same(alone[i].Tensor("ids"), together[i].Good().Tensor("ids"));
            TensorData[] expected = alone[i].Tensors("logits"), actual = together[i].Tensors("logits");
            Assert.Equal(expected.Length, actual.Length);
            for (int step = 0; step < expected.Length; step++) Near.Equal(expected[step], actual[step]);
            Assert.Equal(alone[i].Tokens, together[i].Tokens);
        }
        Near.Equal(alone[1].Tensor("logits"), together[1].Good().Tensor("logits"));
    }

    [Fact]
    public void AnEmptyInvoke_SeesItsOwnersRows_AndNobodyElses()
    {
        Program program = _rig.Record(null, 3, t =>
        {
            using (t.Invoke(s_two)) { }
            using (t.Invoke(s_five)) { }
            using (t.Invoke())
            {
                foreach (int step in t.Iter[..]) Model.Layers[0].Hidden.Save($"{step}");
                t.Result.Save("ids");
            }
        });
        Outcome alone = _rig.Run(program)[0].Good();
        Outcome beside = _rig.Run(Quiet(s_other), program, Quiet(new[] { s_five, s_two, [1, 2, 3, 4, 5, 6, 7, 8] }))[1].Good();
        Assert.Equal([2, 5, 16], beside.Tensor("0").Shape.ToArray());
        Near.Equal(alone.Tensor("0")[0, 3..], beside.Tensor("0")[0, 3..]);
        Near.Equal(alone.Tensor("0")[1], beside.Tensor("0")[1]);
        foreach (string name in (string[])["1", "2"]) Near.Equal(alone.Tensor(name), beside.Tensor(name));
        Near.Same(alone.Tensor("ids"), beside.Tensor("ids"));
    }

    [Fact]
    public void ValuesCountersAndBarriers_AreTheOwners()
    {
        // the same ids in both programs: values, counters and barriers are by owner
        Program Pair(int[] prompt) => _rig.Record(null, t =>
        {
            Barrier barrier = t.Barrier(2);
            Value hidden;
            using (t.Invoke(prompt))
            {
                hidden = Model.Layers[0].Hidden;
                barrier.Wait();
            }
            using (t.Invoke(prompt))
            {
                barrier.Wait();
                Model.Layers[0].Hidden = hidden * 2;
                Model.Logits.Save("logits");
            }
        });
        Outcome[] both = _rig.Run(Pair(s_five), Pair(s_other));
        Near.Equal(_rig.Run(Pair(s_five))[0].Tensor("logits"), both[0].Good().Tensor("logits"), 1e-5);
        Near.Equal(_rig.Run(Pair(s_other))[0].Tensor("logits"), both[1].Good().Tensor("logits"), 1e-5);
    }

    [Fact]
    public void AGenerationThatStops_Leaves_AndTheOtherGoesOn()
    {
        Program stopping = _rig.Record(s_other, 8, t =>
        {
            foreach (int step in t.Iter[..])
            {
                Model.Logits.Save($"logits{step}");
                if (step == 1) t.Stop();
            }
        });
        Program other = _rig.Record(s_two, 5, t => t.Result.Save("ids"));
        Outcome[] both = _rig.Run(stopping, other);
        Assert.Equal(["logits0", "logits1"], both[0].Good().Names);
        Near.Same(_rig.Run(other)[0].Tensor("ids"), both[1].Good().Tensor("ids"));
    }

    [Fact]
    public void ABadPrompt_IsRefused_AndTheOthersRun()
    {
        Outcome[] both = _rig.Run(_rig.Record(s_unknown, t => Model.Logits.Save("logits")), Quiet(s_five), _rig.Record(new int[200], t => Model.Logits.Save("logits")));
        Assert.Contains("40000", both[0].Bad(ErrorCode.BadInput).Message, StringComparison.Ordinal);
        both[1].Good();
        Assert.Contains("200 tokens", both[2].Bad(ErrorCode.BadInput).Message, StringComparison.Ordinal);
    }
}
