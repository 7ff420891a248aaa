using Ndif.Protocol;

namespace Ndif.Engine.Tests.Interleaving;

/// <summary>Several invokes in a trace: values between them, barriers, empty ones, statements outside of any, Stop.</summary>
public sealed class InvokesTests : IDisposable
{
    private static readonly int[] s_a = [3, 1, 4], s_b = [9, 2, 6], s_long = [5, 5, 5, 8, 9];

    private readonly Rig _rig = Rig.GPT2();

    public void Dispose() => _rig.Dispose();

    private LanguageModel Model => _rig.Model;

    private Outcome Run(Action<Trace> experiment) => _rig.Run(_rig.Record(null, experiment))[0];

    private TensorData Logits(int[] prompt, Action<Trace>? edit = null) => _rig.Run(prompt, t =>
    {
        edit?.Invoke(t);
        Model.Logits.Save("logits");
    }).Good().Tensor("logits");

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void AValue_FlowsFromOneInvokeToAnother(bool barrier, bool backwards)
    {
        Outcome run = Run(t =>
        {
            Barrier? wait = barrier ? t.Barrier(2) : null;
            Value embedded = 0;
            if (backwards)
            {
                // the invoke that writes is defined first: it waits for the other
                using (t.Invoke(s_long)) Model.Logits.Save("long");
            }
            using (t.Invoke(s_a))
            {
                embedded = Model.Embed.Output;
                wait?.Wait();
            }
            using (t.Invoke(s_b))
            {
                wait?.Wait();
                Model.Embed.Output = embedded;
                Model.Logits.Save("logits");
            }
        }).Good();
        Near.Equal(Logits(s_a), run.Tensor("logits"));
        if (backwards) Near.Equal(Logits(s_long), run.Tensor("long"));
    }

    [Fact]
    public void ABarrier_CanBeUsedAgain()
    {
        Outcome run = Run(t =>
        {
            Barrier barrier = t.Barrier(2);
            ValueList order = t.List();
            order.Save("order");
            using (t.Invoke(s_a))
            {
                barrier.Wait();
                order.Append(1);
                barrier.Wait();
                order.Append(3);
            }
            using (t.Invoke(s_b))
            {
                barrier.Wait();
                order.Append(2);
                barrier.Wait();
                order.Append(4);
            }
        }).Good();
        long[] order = [.. run["order"].List.Items.Select(i => i.Integer)];
        Assert.Equal([1L, 2], order[..2].Order());
    }

    [Fact]
    public void AnEmptyInvoke_SeesAllRows_InAnOrderOfItsOwn()
    {
        Outcome run = Run(t =>
        {
            using (t.Invoke(s_a)) Model.Layers[1].Hidden[..] = 0;
            using (t.Invoke(s_long)) Model.Logits.Save("long");
            using (t.Invoke())
            {
                Model.Embed.Output.Save("embedded");
                Model.Layers[1].Hidden.Save("second");
            }
        }).Good();
        Assert.Equal([2, 5, 16], run.Tensor("embedded").Shape.ToArray());
        Assert.All(run.Tensor("second")[0, 2..].ToArray<float>(), x => Assert.Equal(0, x));
        Near.Equal(Logits(s_long), run.Tensor("long"));
    }

    [Fact]
    public void StatementsOutsideOfInvokes_SeeAllRows()
    {
        Outcome run = Run(t =>
        {
            using (t.Invoke(s_a)) Model.Layers[0].Hidden.Save("a");
            Model.Layers[1].Hidden.Save("all");
            using (t.Invoke(s_b)) Model.Layers[0].Hidden.Save("b");
            t.Result["logits"].Save("logits");
        }).Good();
        Assert.Equal([2, 3, 16], run.Tensor("all").Shape.ToArray());
        Near.Equal(Logits(s_b)[0], run.Tensor("logits")[1]);
    }

    [Fact]
    public void AListOfTheTrace_IsFilledByItsInvokes()
    {
        Outcome run = Run(t =>
        {
            ValueList list = t.List();
            list.Save("list");
            using (t.Invoke(s_a)) list.Append(Model.Layers[0].Hidden.Shape[1] * 10);
            using (t.Invoke(s_long)) list.Append(Model.Layers[0].Hidden.Shape[1]);
        }).Good();
        Assert.Equal([30L, 5], run["list"].List.Items.Select(i => i.Integer));
    }

    [Fact]
    public void Stop_EndsThePass_AndKeepsWhatWasSaved()
    {
        Outcome run = _rig.Run(s_a, t =>
        {
            Model.Layers[0].Hidden.Save("first");
            t.Stop();
            Model.Layers[1].Hidden.Save("second");
        }).Good();
        Assert.Equal(["first"], run.Names);
    }

    [Fact]
    public void StopOfOneInvoke_EndsOnlyItsPart()
    {
        Outcome run = Run(t =>
        {
            using (t.Invoke(s_a))
            {
                Model.Layers[0].Hidden.Save("a");
                t.Stop();
                Model.Logits.Save("never");
            }
            using (t.Invoke(s_long)) Model.Logits.Save("long");
        }).Good();
        Assert.Equal(["a", "long"], run.Names.Order());
        Near.Equal(Logits(s_long), run.Tensor("long"));
    }

    [Fact]
    public void APassThatEveryoneStopped_EndsThere()
    {
        // the head would fail on this, if it ran
        Outcome run = _rig.Run(s_a, t =>
        {
            Model.Embed.Input[..] = 99_999;
            t.Stop();
        });
        run.Good();
    }

    [Fact]
    public void ValuesFlowBetweenTheTracesOfASession_AndAPromptMayBeOne()
    {
        var p = new ProgramBuilder();
        uint hidden = 0, ids = 0;
        p.Trace(ProgramBuilder.Tokens([3, 1, 4]), () =>
        {
            ids = p.Read("transformer.wte", SiteKind.Input);
            hidden = p.Read("transformer.h.0", SiteKind.Hidden);
            p.Read("transformer.h.1", SiteKind.Hidden);
        });
        uint doubled = p.Call("mul", ProgramBuilder.Of(hidden), ProgramBuilder.Of(2.0));
        p.Trace(new Input { Ids = ProgramBuilder.Of(ids) }, () =>
        {
            p.Write("transformer.h.0", ProgramBuilder.Of(doubled), SiteKind.Hidden);
            p.Save(p.Read("lm_head"), "logits");
        });
        p.Trace(ProgramBuilder.Tokens([9, 9]), () => { });
        Near.Same(Logits(s_a, _ => Model.Layers[0].Hidden *= 2), _rig.Run(p.Program)[0].Good().Tensor("logits"));
    }

    [Fact]
    public void ASessionNextToAnother_OfMoreTraces_GivesTheSame()
    {
        static Program Session(int traces)
        {
            var p = new ProgramBuilder();
            uint? last = null;
            for (int i = 0; i < traces; i++)
            {
                uint read = 0;
                uint? before = last;
                p.Trace(ProgramBuilder.Tokens([3, 1, 4]), () =>
                {
                    if (before is { } value) p.Write("transformer.wte", ProgramBuilder.Of(value));
                    read = p.Read("transformer.h.1", SiteKind.Hidden);
                });
                last = read;
            }
            p.Save(last!.Value, "last");
            return p.Program;
        }
        TensorData two = _rig.Run(Session(2))[0].Good().Tensor("last"), five = _rig.Run(Session(5))[0].Good().Tensor("last");
        Outcome[] both = _rig.Run(Session(2), Session(5));
        Near.Equal(two, both[0].Good().Tensor("last"), 1e-5);
        Near.Equal(five, both[1].Good().Tensor("last"), 1e-5);
    }
}
