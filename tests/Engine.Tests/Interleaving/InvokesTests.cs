using Ndif.Engine.Tests.Support;
using Ndif.Protocol;


namespace Ndif.Engine.Tests.Interleaving;

/// <summary>Several invokes in a trace: values between them, barriers, empty ones, statements outside of any, Stop.</summary>
public sealed class InvokesTests : IDisposable
{
    private static readonly int[] _a = [3, 1, 4], _b = [9, 2, 6], _long = [5, 5, 5, 8, 9];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    private JobOutcome Run(Action<Trace> experiment) => _fixture.Run(_fixture.Record(null, experiment))[0];

    private TensorData Logits(int[] prompt, Action<Trace>? edit = null) => _fixture.Run(prompt, t =>
    {
        edit?.Invoke(t);
        Model.Logits.Save("logits");
    }).AssertCompleted().Tensor("logits");

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void AValue_FlowsFromOneInvokeToAnother(bool barrier, bool backwards)
    {
        JobOutcome run = Run(t =>
        {
            Barrier? wait = barrier ? t.Barrier(2) : null;
            Value embedded = 0;
            if (backwards)
            {
                // the writing invoke is defined first and waits for the other one
                using (t.Invoke(_long)) Model.Logits.Save("long");
            }
            using (t.Invoke(_a))
            {
                embedded = Model.Embed.Output;
                wait?.Wait();
            }
            using (t.Invoke(_b))
            {
                wait?.Wait();
                Model.Embed.Output = embedded;
                Model.Logits.Save("logits");
            }
        }).AssertCompleted();
        TensorAssert.Equal(Logits(_a), run.Tensor("logits"));
        if (backwards) TensorAssert.Equal(Logits(_long), run.Tensor("long"));
    }

    [Fact]
    public void ABarrier_CanBeUsedAgain()
    {
        JobOutcome run = Run(t =>
        {
            Barrier barrier = t.Barrier(2);
            ValueList order = t.List();
            order.Save("order");
            using (t.Invoke(_a))
            {
                barrier.Wait();
                order.Append(1);
                barrier.Wait();
                order.Append(3);
            }
            using (t.Invoke(_b))
            {
                barrier.Wait();
                order.Append(2);
                barrier.Wait();
                order.Append(4);
            }
        }).AssertCompleted();
        long[] order = [.. run["order"].List.Items.Select(i => i.Integer)];
        Assert.Equal([1L, 2], order[..2].Order());
    }

    [Fact]
    public void AnEmptyInvoke_SeesAllRows_InAnOrderOfItsOwn()
    {
        JobOutcome run = Run(t =>
        {
            using (t.Invoke(_a)) Model.Layers[1].Hidden[..] = 0;
            using (t.Invoke(_long)) Model.Logits.Save("long");
            using (t.Invoke())
            {
                Model.Embed.Output.Save("embedded");
                Model.Layers[1].Hidden.Save("second");
            }
        }).AssertCompleted();
        Assert.Equal([2, 5, 16], run.Tensor("embedded").Shape.ToArray());
        Assert.All(run.Tensor("second")[0, 2..].ToArray<float>(), x => Assert.Equal(0, x));
        TensorAssert.Equal(Logits(_long), run.Tensor("long"));
    }

    [Fact]
    public void StatementsOutsideOfInvokes_SeeAllRows()
    {
        JobOutcome run = Run(t =>
        {
            using (t.Invoke(_a)) Model.Layers[0].Hidden.Save("a");
            Model.Layers[1].Hidden.Save("all");
            using (t.Invoke(_b)) Model.Layers[0].Hidden.Save("b");
            t.Result["logits"].Save("logits");
        }).AssertCompleted();
        Assert.Equal([2, 3, 16], run.Tensor("all").Shape.ToArray());
        TensorAssert.Equal(Logits(_b)[0], run.Tensor("logits")[1]);
    }

    [Fact]
    public void AListOfTheTrace_IsFilledByItsInvokes()
    {
        JobOutcome run = Run(t =>
        {
            ValueList list = t.List();
            list.Save("list");
            using (t.Invoke(_a)) list.Append(Model.Layers[0].Hidden.Shape[1] * 10);
            using (t.Invoke(_long)) list.Append(Model.Layers[0].Hidden.Shape[1]);
        }).AssertCompleted();
        Assert.Equal([30L, 5], run["list"].List.Items.Select(i => i.Integer));
    }

    [Fact]
    public void Stop_EndsThePass_AndKeepsWhatWasSaved()
    {
        JobOutcome run = _fixture.Run(_a, t =>
        {
            Model.Layers[0].Hidden.Save("first");
            t.Stop();
            Model.Layers[1].Hidden.Save("second");
        }).AssertCompleted();
        Assert.Equal(["first"], run.Names);
    }

    [Fact]
    public void StopOfOneInvoke_EndsOnlyItsPart()
    {
        JobOutcome run = Run(t =>
        {
            using (t.Invoke(_a))
            {
                Model.Layers[0].Hidden.Save("a");
                t.Stop();
                Model.Logits.Save("never");
            }
            using (t.Invoke(_long)) Model.Logits.Save("long");
        }).AssertCompleted();
        Assert.Equal(["a", "long"], run.Names.Order());
        TensorAssert.Equal(Logits(_long), run.Tensor("long"));
    }

    [Fact]
    public void APassThatEveryoneStopped_EndsThere()
    {
        // the LM head would fail on this value if it ran
        JobOutcome run = _fixture.Run(_a, t =>
        {
            Model.Embed.Input[..] = 99_999;
            t.Stop();
        });
        run.AssertCompleted();
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
        TensorAssert.Same(Logits(_a, _ => Model.Layers[0].Hidden *= 2), _fixture.Run(p.Program)[0].AssertCompleted().Tensor("logits"));
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
        TensorData two = _fixture.Run(Session(2))[0].AssertCompleted().Tensor("last"),
            five = _fixture.Run(Session(5))[0].AssertCompleted().Tensor("last");
        JobOutcome[] both = _fixture.Run(Session(2), Session(5));
        TensorAssert.Equal(two, both[0].AssertCompleted().Tensor("last"), 1e-5);
        TensorAssert.Equal(five, both[1].AssertCompleted().Tensor("last"), 1e-5);
    }
}
