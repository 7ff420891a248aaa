using Ndif.Engine.Tests.Support;
using Ndif.Protocol;


namespace Ndif.Engine.Tests.Batching;

/// <summary>Programs of several jobs in one pass: each gives the results that it gives alone, whatever happens to the others.</summary>
public sealed class TwoOwnersTests : IDisposable
{
    private static readonly int[] _five = [3, 1, 4, 1, 5], _two = [9, 2], _other = [7, 7, 8, 2, 6], _unknown = [1, 40_000];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    private Program Quiet(object prompt) => _fixture.Record(prompt, t =>
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

    private Program Failing(string how, object prompt) => _fixture.Record(prompt, t =>
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
        JobOutcome alone = _fixture.Run(Quiet(_five))[0].AssertCompleted();
        JobOutcome beside = _fixture.Run(Quiet(_other), Quiet(_five))[1].AssertCompleted();
        foreach (bool first in (bool[])[true, false])
        {
            Program bad = Failing(how, _other);
            JobOutcome[] both = first ? _fixture.Run(bad, Quiet(_five)) : _fixture.Run(Quiet(_five), bad);
            JobOutcome failed = both[first ? 0 : 1], good = both[first ? 1 : 0].AssertCompleted();
            failed.AssertFailed(code);
            Assert.Contains("before", failed.Names);
            Assert.DoesNotContain("after", failed.Names);
            foreach (string name in (string[])["hidden", "logits"])
            {
                TensorAssert.Equal(alone.Tensor(name), good.Tensor(name), 1e-5);
                if (first) TensorAssert.Same(beside.Tensor(name), good.Tensor(name));
            }
        }
    }

    [Fact]
    public void AnOwnerThatIsCancelled_InTheMiddle_LeavesTheOther_AsItWas()
    {
        JobOutcome beside = _fixture.Run(Quiet(_other), Quiet(_five))[1].AssertCompleted();
        using CancellationTokenSource cancel = new();
        Program cancelled = _fixture.Record(_other, t =>
        {
            t.Log(Model.Layers[0].Hidden.Shape);
            Model.Logits.Save("logits");
        });
        JobOutcome[] both =
            _fixture.Run((cancelled, new JobOutcome { OnLog = cancel.Cancel }, cancel.Token),
                (Quiet(_five), new JobOutcome(), CancellationToken.None));
        both[0].AssertFailed(ErrorCode.JobCancelled);
        Assert.DoesNotContain("logits", both[0].Names);
        TensorAssert.Same(beside.Tensor("logits"), both[1].AssertCompleted().Tensor("logits"));
    }

    [Fact]
    public void AForwardThatFails_OnOneOwnersValue_IsThatOwnersFailure()
    {
        Program bad = _fixture.Record(_other, t =>
        {
            Model.Embed.Input[.., 2] = 99_999; // no such token
            Model.Logits.Save("logits");
        });
        JobOutcome[] both = _fixture.Run(bad, Quiet(_five));
        both[0].AssertFailed(ErrorCode.OpFailed);
        TensorAssert.Equal(_fixture.Run(Quiet(_five))[0].Tensor("logits"), both[1].AssertCompleted().Tensor("logits"), 1e-5);
        Assert.Equal(5, both[1].Tokens);
    }

    [Fact]
    public void AForwardThatFails_IsRepeatedAlone_WithoutRepeatingLogLines()
    {
        Program bad = _fixture.Record(_other, t => Model.Embed.Input[.., 2] = 99_999);
        Program good = _fixture.Record(_five, t =>
        {
            ValueList list = t.List();
            list.Save("list");
            t.Log("ids", Model.Embed.Input);
            list.Append(Model.Embed.Output);
            t.Log("end", Model.Logits.Shape);
        });
        JobOutcome outcome = _fixture.Run(bad, good)[1].AssertCompleted();
        Assert.Equal(2, outcome.Logs.Count);
        Assert.Single(outcome.Tensors("list"));
    }

    public static TheoryData<string> Meddling() => ["keyword", "cache", "nothing", "unknown", "skip width", "skip number", "skip rank"];

    [Theory]
    [MemberData(nameof(Meddling))]
    public void WhatAllRowsShare_IsNotOneOwnersToChange(string how)
    {
        Program bad = _fixture.Record(_other, t =>
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
        JobOutcome[] both = _fixture.Run(bad, Quiet(_five));
        Assert.Contains(both[0].Error!.Code, (ErrorCode[])[ErrorCode.BadArgument, ErrorCode.ShapeMismatch]);
        TensorAssert.Equal(_fixture.Run(Quiet(_five))[0].Tensor("logits"), both[1].AssertCompleted().Tensor("logits"), 1e-5);
    }

    [Fact]
    public void TwoOwnersThatSkipTheSameModule_WithShapesThatDoNotFit_FailOnlyWhereItDoesNotFit()
    {
        Program bad = _fixture.Record(_other, t =>
        {
            Model.Layers[1].Skip(TensorData.FromArray(new float[5 * 7], 1, 5, 7));
            Model.Logits.Save("logits");
        });
        Program good = _fixture.Record(_five, t =>
        {
            Model.Layers[1].Skip(Model.Layers[0].Hidden);
            Model.Logits.Save("logits");
        });
        JobOutcome alone = _fixture.Run(good)[0].AssertCompleted();
        JobOutcome[] both = _fixture.Run(bad, good);
        both[0].AssertFailed(ErrorCode.ShapeMismatch);
        TensorAssert.Equal(alone.Tensor("logits"), both[1].AssertCompleted().Tensor("logits"), 1e-5);
    }

    [Fact]
    public void ThreeOwners_OfDifferentLengths_GetWhatTheyGetAlone()
    {
        Program[] programs = [Quiet(_two), Quiet(_five), Quiet(new[] { _two, [1, 2, 3, 4, 5, 6, 7] })];
        JobOutcome[] alone = [.. programs.Select(p => _fixture.Run(p)[0].AssertCompleted())];
        JobOutcome[] together = _fixture.Run(programs);
        for (int i = 0; i < 3; i++)
        {
            TensorAssert.Equal(alone[i].Tensor("hidden"), together[i].AssertCompleted().Tensor("hidden"));
            TensorAssert.Equal(alone[i].Tensor("logits"), together[i].Tensor("logits"));
            Assert.Equal(TensorAssert.ArgMax(alone[i].Tensor("logits")), TensorAssert.ArgMax(together[i].Tensor("logits")));
            Assert.Equal(alone[i].Tokens, together[i].Tokens);
        }
    }

    [Fact]
    public void GenerationsOfDifferentLength_NextToAForward_GetWhatTheyGetAlone()
    {
        Program Generating(object prompt, int tokens, float factor) => _fixture.Record(prompt, tokens, t =>
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
        Program[] programs = [Generating(_two, 3, 2), Quiet(_other), Generating(_five, 6, 3), Generating(new[] { _other, _two }, 1, 4)];
        JobOutcome[] alone = [.. programs.Select(p => _fixture.Run(p)[0].AssertCompleted())];
        JobOutcome[] together = _fixture.Run(programs);
        foreach (int i in (int[])[0, 2, 3])
        {
            TensorAssert.Same(alone[i].Tensor("ids"), together[i].AssertCompleted().Tensor("ids"));
            TensorData[] expected = alone[i].Tensors("logits"), actual = together[i].Tensors("logits");
            Assert.Equal(expected.Length, actual.Length);
            for (int step = 0; step < expected.Length; step++) TensorAssert.Equal(expected[step], actual[step]);
            Assert.Equal(alone[i].Tokens, together[i].Tokens);
        }
        TensorAssert.Equal(alone[1].Tensor("logits"), together[1].AssertCompleted().Tensor("logits"));
    }

    [Fact]
    public void AnEmptyInvoke_SeesItsOwnersRows_AndNobodyElses()
    {
        Program program = _fixture.Record(null, 3, t =>
        {
            using (t.Invoke(_two)) { }
            using (t.Invoke(_five)) { }
            using (t.Invoke())
            {
                foreach (int step in t.Iter[..]) Model.Layers[0].Hidden.Save($"{step}");
                t.Result.Save("ids");
            }
        });
        JobOutcome alone = _fixture.Run(program)[0].AssertCompleted();
        JobOutcome beside = _fixture.Run(Quiet(_other), program, Quiet(new[] { _five, _two, [1, 2, 3, 4, 5, 6, 7, 8] }))[1]
            .AssertCompleted();
        Assert.Equal([2, 5, 16], beside.Tensor("0").Shape.ToArray());
        TensorAssert.Equal(alone.Tensor("0")[0, 3..], beside.Tensor("0")[0, 3..]);
        TensorAssert.Equal(alone.Tensor("0")[1], beside.Tensor("0")[1]);
        foreach (string name in (string[])["1", "2"]) TensorAssert.Equal(alone.Tensor(name), beside.Tensor(name));
        TensorAssert.Same(alone.Tensor("ids"), beside.Tensor("ids"));
    }

    [Fact]
    public void ValuesCountersAndBarriers_AreTheOwners()
    {
        // the same ids in both programs: values, counters and barriers belong to the job
        Program Pair(int[] prompt) => _fixture.Record(null, t =>
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
        JobOutcome[] both = _fixture.Run(Pair(_five), Pair(_other));
        TensorAssert.Equal(_fixture.Run(Pair(_five))[0].Tensor("logits"), both[0].AssertCompleted().Tensor("logits"), 1e-5);
        TensorAssert.Equal(_fixture.Run(Pair(_other))[0].Tensor("logits"), both[1].AssertCompleted().Tensor("logits"), 1e-5);
    }

    [Fact]
    public void AGenerationThatStops_Leaves_AndTheOtherGoesOn()
    {
        Program stopping = _fixture.Record(_other, 8, t =>
        {
            foreach (int step in t.Iter[..])
            {
                Model.Logits.Save($"logits{step}");
                if (step == 1) t.Stop();
            }
        });
        Program other = _fixture.Record(_two, 5, t => t.Result.Save("ids"));
        JobOutcome[] both = _fixture.Run(stopping, other);
        Assert.Equal(["logits0", "logits1"], both[0].AssertCompleted().Names);
        TensorAssert.Same(_fixture.Run(other)[0].Tensor("ids"), both[1].AssertCompleted().Tensor("ids"));
    }

    [Fact]
    public void ABadPrompt_IsRefused_AndTheOthersRun()
    {
        JobOutcome[] both =
            _fixture.Run(_fixture.Record(_unknown, t => Model.Logits.Save("logits")), Quiet(_five),
                _fixture.Record(new int[200], t => Model.Logits.Save("logits")));
        Assert.Contains("40000", both[0].AssertFailed(ErrorCode.BadInput).Message, StringComparison.Ordinal);
        both[1].AssertCompleted();
        Assert.Contains("200 tokens", both[2].AssertFailed(ErrorCode.BadInput).Message, StringComparison.Ordinal);
    }
}
