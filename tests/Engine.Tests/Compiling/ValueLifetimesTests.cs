using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Tests.Support;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Tests.Compiling;

/// <summary>No value lives longer than needed. Every run of <see cref="EngineFixture"/> checks that none outlives its run.</summary>
public sealed class ValueLifetimesTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    /// <summary>The largest number of tensors at a log line, in addition to those before the run.</summary>
    private long Peak(Program program)
    {
        GC.Collect(); // so that tensors of earlier tests are not freed during the measurement
        GC.WaitForPendingFinalizers();
        long before = torch.Tensor.TotalCount, peak = 0;
        _fixture.Run(
            (program, new JobOutcome { OnLog = () => peak = Math.Max(peak, torch.Tensor.TotalCount - before) }, CancellationToken.None))[0]
            .AssertCompleted();
        return peak;
    }

    [Fact]
    public void ALongGeneration_HoldsNoMoreThanAShortOne()
    {
        Program Record(int steps) => _fixture.Record(_prompt, steps, t =>
        {
            foreach (int _ in t.Iter[..])
            {
                Value hidden = Model.Layers[0].Hidden;
                for (int i = 0; i < 5; i++) hidden = hidden * 1.01 + i;
                t.Log((hidden * 2).Shape);
            }
        });
        Assert.Equal(Peak(Record(3)), Peak(Record(30)));
    }

    [Fact]
    public void ALongChain_HoldsNoMoreThanAShortOne()
    {
        Program Record(int length) => _fixture.Record(_prompt, t =>
        {
            Value value = Model.Layers[0].Hidden;
            for (int i = 0; i < length; i++) value = value + 1;
            t.Log(value.Shape);
        });
        Assert.Equal(Peak(Record(2)), Peak(Record(400)));
    }

    [Fact]
    public void TheTracesOfALongSession_HoldNoMoreThanThoseOfAShortOne_AlsoIfTheyStop()
    {
        static Program Session(int traces)
        {
            var p = new ProgramBuilder();
            for (int i = 0; i < traces; i++)
            {
                p.Trace(ProgramBuilder.Tokens([3, 1, 4]), () =>
                {
                    uint read = p.Read("transformer.h.0", SiteKind.Hidden);
                    uint sum = p.Call("add", ProgramBuilder.Of(read), ProgramBuilder.Of(1.0));
                    p.Add(new Node { Log = new Log { Values = { ProgramBuilder.Of(read) } } });
                    p.Add(new Node { Stop = new Stop() });
                    p.Save(sum, "never");
                });
            }
            return p.Program;
        }
        Assert.Equal(Peak(Session(2)), Peak(Session(6))); // of several traces, the layers of a prompt are kept
    }

    [Fact]
    public void WritingAndSkippingInALongLoop_HoldsNoMoreThanInAShortOne()
    {
        Program Record(int turns) => _fixture.Record(_prompt, t =>
        {
            Variable left = t.Variable(turns);
            Value first = Model.Layers[0].Hidden;
            t.While(() => left.Value > 0, () =>
            {
                Model.Layers[0].Hidden = first * 2;
                left.Set(left.Value - 1);
            }, turns);
            left.Set(turns);
            t.While(() => left.Value > 0, () =>
            {
                Model.Layers[1].Skip(first * 2);
                left.Set(left.Value - 1);
            }, turns);
            t.Log(Model.FinalNorm.Output.Shape);
            t.Log(Model.LmHead.Input.Shape);
        });
        Assert.Equal(Peak(Record(2)), Peak(Record(50)));
    }

    [Fact]
    public void ARunThatIsStoppedCancelledOrFails_LeavesNothing()
    {
        foreach (int step in (int[])[0, 1, 2])
        {
            foreach (int how in (int[])[0, 1, 2])
            {
                using CancellationTokenSource cancel = new();
                Program program = _fixture.Record(null, 4, t =>
                {
                    ValueList list = t.List();
                    list.Save("list");
                    using (t.Invoke(_prompt)) Experiment();
                    using (t.Invoke(_prompt)) list.Append(Model.Layers[1].Hidden);

                    void Experiment()
                    {
                        foreach (int at in t.Iter[..])
                        {
                            Value hidden = Model.Layers[0].Hidden;
                            list.Append(hidden);
                            if (at == step && how == 0) t.Stop();
                            if (at == step && how == 1) t.Log("cancel");
                            if (at == step && how == 2) _ = hidden[99];
                            list.Append(Model.Logits);
                        }
                    }
                });
                JobOutcome outcome = _fixture.Run((program, new JobOutcome { OnLog = cancel.Cancel }, cancel.Token))[0];
                if (how == 0) outcome.AssertCompleted();
                else outcome.AssertFailed(how == 1 ? ErrorCode.JobCancelled : ErrorCode.IndexOutOfRange);
            }
        }
    }

    [Fact]
    public void AForwardThatFails_LeavesNothing_AndNobodyWatching()
    {
        _fixture.Run(_prompt, t =>
        {
            Model.Embed.Output.Save("embedded");
            Model["transformer.wpe"].Input[..] = 77;
        }).AssertFailed(ErrorCode.OpFailed);
        Assert.Null(SiteHook.ForModule(0));
    }

    [Fact]
    public void AProgramThatCannotBeCompiled_LeavesNothing()
    {
        var p = new ProgramBuilder();
        p.Trace(ProgramBuilder.Tokens([3]),
            () => p.Add(new Node { Backward = new Backward { Loss = ProgramBuilder.Of(1L), Region = p.Region(() => { }) } }));
        long before = torch.Tensor.TotalCount;
        Exception thrown = Assert.ThrowsAny<Exception>(() => Compiler.Compile(p.Program, _fixture.HookedModel));
        Assert.Equal(ErrorCode.NoGradient, Errors.FromException(thrown).Code);
        Assert.InRange(torch.Tensor.TotalCount, 0, before);
    }

    [Fact]
    public void RandomNumbers_AreTheOwnersOwn()
    {
        static Program Random(int draws)
        {
            var p = new ProgramBuilder();
            p.Trace(ProgramBuilder.Tokens([3, 1, 4]), () =>
            {
                for (int i = 0; i < draws; i++)
                {
                    p.Read($"transformer.h.{Math.Min(i, 1)}", SiteKind.Hidden, 0);
                    p.Save(p.Call("randn", ProgramBuilder.List(3)), $"{i}");
                }
            });
            return p.Program;
        }
        TensorData[] Draw(params int[] draws)
        {
            JobOutcome[] outcomes = [.. draws.Select(_ => new JobOutcome())];
            JobRun[] runs =
                [.. draws.Select((d, i) => new JobRun(Compiler.Compile(Random(d), _fixture.HookedModel), outcomes[i]) { Seed = 5 })];
            ProgramEngine.Run(_fixture.HookedModel, runs);
            foreach (JobRun run in runs) run.Dispose();
            Assert.All(runs, run => Assert.Null(run.Error));
            return [.. outcomes.Select((o, i) => o.Tensor($"{draws[i] - 1}"))];
        }
        TensorData alone = Draw(2)[0];
        TensorAssert.Same(alone, Draw(2)[0]);
        TensorAssert.Same(alone, Draw(1, 2)[1]);
        TensorAssert.NotEqual(alone, Draw(1)[0]);
    }
}
