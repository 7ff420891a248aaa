using Ndif.Engine.Tests.Support;
using Ndif.Protocol;


namespace Ndif.Engine.Tests.Interleaving;

/// <summary>Reading, editing in place, replacing.</summary>
public sealed class ReadWriteTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4, 1, 5], _short = [9, 2];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    private TensorData Logits(Action<Trace> experiment) => _fixture.Run(_prompt, t =>
    {
        experiment(t);
        Model.Logits.Save("logits");
    }).AssertCompleted().Tensor("logits");

    [Fact]
    public void AnInPlaceEdit_IsWhatTheModelGoesOnWith()
    {
        JobOutcome run = _fixture.Run(_prompt, t =>
        {
            Value hidden = Model.Layers[0].Output[0];
            hidden.Save("before");
            hidden[.., 2] = 0;
            Model.Layers[0].Output[0].Save("after");
            Model.Layers[1].Input.Save("next");
        }).AssertCompleted();
        Assert.All(run.Tensor("after")[.., 2].ToArray<float>(), x => Assert.Equal(0, x));
        Assert.Contains(run.Tensor("before")[.., 2].ToArray<float>(), x => x != 0);
        TensorAssert.Same(run.Tensor("after"), run.Tensor("next"));
    }

    [Fact]
    public void AReplacement_IsWhatTheModelGoesOnWith_OfATupleOnlyItsFirst()
    {
        TensorData edited = Logits(_ => Model.Layers[0].Hidden *= 2);
        TensorAssert.NotEqual(Logits(_ => { }), edited);
        TensorAssert.Same(edited, Logits(_ => Model.Layers[0].Output = Model.Layers[0].Output[0] * 2));
        TensorAssert.Same(edited, Logits(_ => Model.Layers[0].Output[0][..] *= 2));
        TensorAssert.Same(edited, Logits(_ => Model.Layers[1].Input *= 2));
        TensorAssert.Same(edited, Logits(_ => Model.Layers[1].Inputs = new Inputs([Model.Layers[1].Input * 2])));
        TensorAssert.Same(edited, Logits(_ =>
        {
            Value args = Model.Layers[1].Inputs.Args;
            args[0][..] *= 2;
        }));
    }

    [Fact]
    public void TheHiddenOfATuple_LeavesTheRestOfIt()
    {
        JobOutcome run = _fixture.Run(_prompt, t =>
        {
            Envoy attention = Model.Layers[0].Attn;
            attention.Hidden = attention.Hidden * 0;
            attention.Output.Save("output");
        }).AssertCompleted();
        Assert.All(TensorData.FromProto(run["output"].List.Items[0].Tensor).ToArray<float>(), x => Assert.Equal(0, x));
        Assert.Equal([1, 2, 5, 5], TensorData.FromProto(run["output"].List.Items[1].Tensor).Shape.ToArray());
    }

    [Fact]
    public void AReplacement_OfAnotherFloatingPointType_BecomesTheSites()
    {
        TensorAssert.Same(Logits(_ => Model.Layers[0].Hidden = TensorData.FromArray(new double[80], 1, 5, 16)),
            Logits(_ => Model.Layers[0].Hidden = 0));
        TensorAssert.Same(Logits(_ => Model.Layers[0].Hidden = 0), Logits(_ => Model.Layers[0].Hidden[..] = 0));
    }

    [Fact]
    public void KeywordArguments_AreReadAndReplacedByName()
    {
        JobOutcome run = _fixture.Run(_prompt, t =>
        {
            Inputs inputs = Model.Layers[0].Attn.Inputs;
            inputs.Args[0].Save("hidden");
            Value mask = inputs.Kwargs["attention_mask"];
            mask.Save("mask");
            Model.Layers[0].Attn.Inputs = new Inputs([], new() { ["attention_mask"] = mask * 0 });
            Model.Layers[0].Attn.Output[1].Save("probabilities");
        }).AssertCompleted();
        Assert.Equal([1, 5, 16], run.Tensor("hidden").Shape.ToArray());
        Assert.Equal([1, 1, 5, 5], run.Tensor("mask").Shape.ToArray());
        // without a mask the first token attends to the last one
        Assert.True(run.Tensor("probabilities")[0, 0, 0, 4].Item<float>() > 0);
    }

    [Fact]
    public void TheRoot_HasInputsAndAnOutput_WithNames()
    {
        JobOutcome run = _fixture.Run(_prompt, t =>
        {
            Model.Inputs.Kwargs["input_ids"].Save("ids");
            Model.Output["logits"].Save("logits");
            Model.Hidden[.., ^1] = 7;
            t.Result["logits"].Save("result");
        }).AssertCompleted();
        Assert.Equal([3L, 1, 4, 1, 5], run.Tensor("ids").ToArray<long>());
        TensorAssert.Same(run.Tensor("logits")[.., ..^1], run.Tensor("result")[.., ..^1]);
        Assert.All(run.Tensor("result")[.., ^1].ToArray<float>(), x => Assert.Equal(7, x));
    }

    [Fact]
    public void OneInvokesEdits_TouchItsOwnRows_AndNoPadding()
    {
        JobOutcome plain = _fixture.Run(_short, _ => Model.Logits.Save("logits")).AssertCompleted();
        foreach (int way in (int[])[0, 1, 2])
        {
            Program both = _fixture.Record(null, t =>
            {
                using (t.Invoke(_prompt)) Edit(Model.Layers[0], way);
                using (t.Invoke(_short)) Model.Logits.Save("short");
                using (t.Invoke(_prompt)) Model.Logits.Save("long");
            });
            JobOutcome run = _fixture.Run(both)[0].AssertCompleted();
            TensorAssert.Equal(plain.Tensor("logits"), run.Tensor("short"));
            TensorAssert.Equal(Logits(_ => { }), run.Tensor("long"));
            Program reversed = _fixture.Record(null, t =>
            {
                using (t.Invoke(_prompt)) Model.Logits.Save("long");
                using (t.Invoke(_short))
                {
                    Edit(Model.Layers[0], way);
                    Model.Logits.Save("short");
                }
            });
            run = _fixture.Run(reversed)[0].AssertCompleted();
            TensorAssert.Equal(Logits(_ => { }), run.Tensor("long"));
            TensorAssert.Equal(_fixture.Run(_short, _ => { Edit(Model.Layers[0], way); Model.Logits.Save("logits"); }).AssertCompleted()
                .Tensor("logits"), run.Tensor("short"));
        }

        static void Edit(Envoy layer, int way)
        {
            switch (way)
            {
                case 0: layer.Hidden[.., 0] = 3; break;
                case 1: layer.Output = layer.Hidden * 3; break;
                default: layer.Inputs = new Inputs([layer.Input * 3]); break;
            }
        }
    }

    [Fact]
    public void AReplacementOfAnotherShape_IsRefused_AloneAsBatched()
    {
        Program Record(object prompt) => _fixture.Record(prompt, t => Model.LmHead.Output = Model.LmHead.Output[.., ^1]);
        Error alone = _fixture.Run(Record(_prompt))[0].AssertFailed(ErrorCode.ShapeMismatch);
        Error together = _fixture.Run(Record(_prompt), Record(_short))[0].AssertFailed(ErrorCode.ShapeMismatch);
        Assert.Equal(alone, together);
        Assert.Equal("`lm_head.output` has the shape [1, 5, 40] here; it cannot be replaced by [1, 40].", alone.Message);
    }

    [Fact]
    public void AModuleCanBeCalledBesideThePass_WithoutBeingSeen()
    {
        JobOutcome run = _fixture.Run(_prompt, t =>
        {
            Value early = Model.LmHead.Call(Model.FinalNorm.Call(Model.Layers[0].Hidden));
            early.Save("early");
            Value late = Model.LmHead.Call(Model.FinalNorm.Call(Model.Layers[1].Hidden));
            late.Save("late");
            Model.FinalNorm.Output.Save("norm");
            Model.Logits.Save("logits");
        }).AssertCompleted();
        TensorAssert.Same(run.Tensor("late"), run.Tensor("logits"));
        TensorAssert.NotEqual(run.Tensor("early"), run.Tensor("logits"));
    }

    [Fact]
    public void ACalledModule_MayReturnATuple_OrNamedParts()
    {
        var p = new ProgramBuilder();
        p.Trace(ProgramBuilder.Tokens([3, 1, 4]), () =>
        {
            uint ids = p.Read("transformer.wte", SiteKind.Input);
            uint mask = p.Call("ones_like", ProgramBuilder.Of(ids));
            uint positions = p.Call("mul", ProgramBuilder.Of(ids), ProgramBuilder.Of(0L));
            uint output = p.Add(new Node { CallModule = new CallModule { Module = "", Keywords =

                {
                    ["input_ids"] = ProgramBuilder.Of(ids),
                    ["attention_mask"] = ProgramBuilder.Of(mask),
                    ["position_ids"] = ProgramBuilder.Of(positions),
                } } });
            p.Save(p.Call("getitem", ProgramBuilder.Of(output), new Argument { Text = "logits" }), "logits");
        });
        Assert.Equal([1, 3, 40], _fixture.Run(p.Program)[0].AssertCompleted().Tensor("logits").Shape.ToArray());
    }

    [Fact]
    public void ACallThatDoesNotFit_NamesTheModule()
    {
        Error error = _fixture.Run(_prompt, t => Model.LmHead.Call(Model.Logits)).AssertFailed(ErrorCode.OpFailed);
        Assert.StartsWith("The call of `lm_head` failed: ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AParameter_IsACopy()
    {
        JobOutcome run = _fixture.Run(_prompt, t =>
        {
            Value weight = Model.FinalNorm.Parameter("weight");
            weight[..] = 0;
            weight.Save("edited");
            Model.FinalNorm.Parameter("weight").Save("weight");
        }).AssertCompleted();
        Assert.All(run.Tensor("edited").ToArray<float>(), x => Assert.Equal(0, x));
        Assert.Contains(run.Tensor("weight").ToArray<float>(), x => x != 0);
    }

    [Fact]
    public void AnEditOfAConstant_StaysInItsRun()
    {
        TensorData numbers = TensorData.FromArray([1f, 2, 3]);
        Program program = _fixture.Record(_prompt, t =>
        {
            Value value = numbers;
            Value sum = Model.Layers[0].Hidden[0, 0, ..3] * 0 + value;
            sum[0] = 9;
            sum.Save("sum");
        });
        foreach (int _ in (int[])[0, 1])
            Assert.Equal([9f, 2, 3], _fixture.Run(program)[0].AssertCompleted().Tensor("sum").ToArray<float>());
    }

    [Fact]
    public void Lists_ComeBackAsTheyAreAtTheEnd_OtherValuesAsTheyAre()
    {
        JobOutcome run = _fixture.Run(_prompt, t =>
        {
            ValueList list = t.List();
            list.Save("list");
            Value hidden = Model.Layers[0].Hidden;
            list.Append(hidden.Shape[1]);
            hidden.Save("before");
            hidden[..] = 5;
            list.Append(Model.Layers[1].Input);
            list[0].Save("first");
        }).AssertCompleted();
        Assert.Equal(5, run["first"].Integer);
        Assert.Equal(2, run["list"].List.Items.Count);
        Assert.NotEqual(5, run.Tensor("before")[0, 0, 0].Item<float>());
        Assert.All(TensorData.FromProto(run["list"].List.Items[1].Tensor).ToArray<float>(), x => Assert.Equal(5, x));
    }

    [Fact]
    public void Log_PrintsWhatIsKnownNow()
    {
        JobOutcome run = _fixture.Run(_prompt, t =>
        {
            t.Log("shape", Model.Layers[0].Hidden.Shape, 2, true);
            t.Log(Model.Layers[1].Attn.Inputs.Kwargs["past_key_values"]);
        }).AssertCompleted();
        Assert.Equal(["shape [1, 5, 16] 2 True", "None"], run.Logs);
    }

    /// <summary>As in PyTorch, an embedding has no row for a negative id; an index would count it from the end.</summary>
    [Theory]
    [InlineData("transformer.wte", -1L)]
    [InlineData("transformer.wpe", -3L)]
    public void ANegativeId_IsRefused(string module, long id)
    {
        using EngineFixture fixture = EngineFixture.GPT2();
        Envoy embedding = fixture.Model.Get(module);
        long[] prompt = [1, 2, 3];
        foreach (JobOutcome run in (JobOutcome[])
            [
                fixture.Run(prompt, _ => embedding.Input = embedding.Input * 0 + id),
                fixture.Run(prompt, _ => embedding.Input[.., ^1] = id),
                fixture.Run(prompt, _ => embedding.Call(embedding.Input * 0 + id).Save("rows")),
            ])
            Assert.StartsWith($"index {id} is out of bounds for dimension 0 with size",
                run.AssertFailed(ErrorCode.IndexOutOfRange).Message, StringComparison.Ordinal);
    }
}
