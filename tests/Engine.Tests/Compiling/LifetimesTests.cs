using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Tests.Compiling;

/// <summary>No value lives longer than it is needed. That none outlives its run, every run of <see cref="Rig"/> checks.</summary>
public sealed class LifetimesTests : IDisposable
{
    private static readonly int[] s_prompt = [3, 1, 4];

    private readonly Rig _rig = Rig.GPT2();

    public void Dispose() => _rig.Dispose();

    private LanguageModel Model => _rig.Model;

    /// <summary>The most tensors that were there at a log line, beyond those before the run.</summary>
    private long Peak(Program program)
    {
        GC.Collect(); // what earlier tests left is not to go in the middle
        GC.WaitForPendingFinalizers();
        long before = torch.Tensor.TotalCount, peak = 0;
        _rig.Run((program, new Outcome { OnLog = () => peak = Math.Max(peak, torch.Tensor.TotalCount - before) }, CancellationToken.None))[0].Good();
        return peak;
    }

    [Fact]
    public void ALongGeneration_HoldsNoMoreThanAShortOne()
    {
        Program Record(int steps) => _rig.Record(s_prompt, steps, t =>
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
        Program Record(int length) => _rig.Record(s_prompt, t =>
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
        Assert.Equal(Peak(Session(1)), Peak(Session(6)));
    }

    [Fact]
    public void WritingAndSkippingInALongLoop_HoldsNoMoreThanInAShortOne()
    {
        Program Record(int turns) => _rig.Record(s_prompt, t =>
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
                Program program = _rig.Record(null, 4, t =>
                {
                    ValueList list = t.List();
                    list.Save("list");
                    using (t.Invoke(s_prompt)) Experiment();
                    using (t.Invoke(s_prompt)) list.Append(Model.Layers[1].Hidden);

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
                Outcome outcome = _rig.Run((program, new Outcome { OnLog = cancel.Cancel }, cancel.Token))[0];
                if (how == 0) outcome.Good();
                else outcome.Bad(how == 1 ? ErrorCode.JobCancelled : ErrorCode.IndexOutOfRange);
            }
        }
    }

    [Fact]
    public void AForwardThatFails_LeavesNothing_AndNobodyWatching()
    {
        _rig.Run(s_prompt, t =>
        {
            Model.Embed.Output.Save("embedded");
            Model["transformer.wpe"].Input[..] = 77;
        }).Bad(ErrorCode.OpFailed);
        Assert.Null(SiteObserver.Of(0));
    }

    [Fact]
    public void AProgramThatCannotBeCompiled_LeavesNothing()
    {
        var p = new ProgramBuilder();
        p.Trace(ProgramBuilder.Tokens([3]), () => p.Add(new Node { Backward = new Backward { Loss = ProgramBuilder.Of(1L), Region = p.Region(() => { }) } }));
        long before = torch.Tensor.TotalCount;
        Exception thrown = Assert.ThrowsAny<Exception>(() => Compiler.Compile(p.Program, _rig.Subject));
        Assert.Equal(ErrorCode.NoGradient, Errors.Of(thrown).Code);
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
            Outcome[] outcomes = [.. draws.Select(_ => new Outcome())];
            JobRun[] runs = [.. draws.Select((d, i) => new JobRun(Compiler.Compile(Random(d), _rig.Subject), outcomes[i]) { Seed = 5 })];
            ProgramEngine.Run(_rig.Subject, runs);
            foreach (JobRun run in runs) run.Dispose();
            Assert.All(runs, run => Assert.Null(run.Error));
            return [.. outcomes.Select((o, i) => o.Tensor($"{draws[i] - 1}"))];
        }
        TensorData alone = Draw(2)[0];
        Near.Same(alone, Draw(2)[0]);
        Near.Same(alone, Draw(1, 2)[1]);
        Near.NotEqual(alone, Draw(1)[0]);
    }
}
