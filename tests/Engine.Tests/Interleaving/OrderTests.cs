using Ndif.Protocol;

namespace Ndif.Engine.Tests.Interleaving;

/// <summary>Too late, never, and not any more: each names module, call, node and line.</summary>
public sealed class OrderTests : IDisposable
{
    private static readonly int[] s_prompt = [3, 1, 4], s_other = [9, 2];

    private readonly Rig _rig = Rig.GPT2();

    public void Dispose() => _rig.Dispose();

    private LanguageModel Model => _rig.Model;

    [Fact]
    public void AModulesInput_IsStillThere_AtItsOutput_ToBeRead()
    {
        Outcome run = _rig.Run(s_prompt, _ =>
        {
            Envoy mlp = _rig.Model.Layers[0].Mlp;
            mlp.Input.Clone().Save("input");
            mlp.Output += mlp.Input * 2; // C# reads the left side first
            mlp.Output.Save("sum");
        }).Good();
        Outcome plain = _rig.Run(s_prompt, _ => _rig.Model.Layers[0].Mlp.Output.Save("output")).Good();
        Near.Equal(plain.Tensor("output") + run.Tensor("input") * 2f, run.Tensor("sum"), 1e-5);
        _rig.Run(s_prompt, _ =>
        {
            Envoy mlp = _rig.Model.Layers[0].Mlp;
            mlp.Output.Save("output");
            mlp.Input = 0;
        }).Bad(ErrorCode.OutOfOrder);
        _rig.Run(s_prompt, _ =>
        {
            Envoy mlp = _rig.Model.Layers[0].Mlp;
            mlp.Output.Save("output");
            mlp.Input[0][..] = 0;
        }).Bad(ErrorCode.OutOfOrder);
        _rig.Run(s_prompt, _ => _rig.Model.Layers[0].Mlp.Skip(_rig.Model.Layers[0].Mlp.Output)).Bad(ErrorCode.OutOfOrder);
        _rig.Run(s_prompt, _ =>
        {
            _rig.Model.Layers[0].Mlp.Output.Save("output");
            _rig.Model.Layers[0].Output.Save("later");
            _rig.Model.Layers[0].Mlp.Input.Save("input");
        }).Bad(ErrorCode.OutOfOrder);
    }

    [Fact]
    public void AModuleThatHasRun_CannotBeReadAnyMore()
    {
        Error error = _rig.Run(s_prompt, t =>
        {
            Model.Layers[1].Hidden.Save("second");
            Model.Layers[0].Hidden.Save("first");
        }).Bad(ErrorCode.OutOfOrder);
        Assert.Equal("Value was missed for `transformer.h.0.output` (call 0): the model had already run past it when it was accessed.", error.Message);
        Assert.Equal("transformer.h.0", error.Module);
        Assert.Equal((2u, "OrderTests.cs"), (error.Node, error.Line.File));
        Assert.Contains("`transformer.h.1.output` came first", error.Hint, StringComparison.Ordinal);
    }

    [Fact]
    public void AWrite_CannotComeTooLateEither() => _rig.Run(s_prompt, t =>
    {
        Value logits = Model.Logits;
        Model.Layers[0].Hidden = logits;
    }).Bad(ErrorCode.OutOfOrder);

    [Fact]
    public void AModuleThatIsNeverCalled_IsMissed()
    {
        Outcome outcome = _rig.Run(s_prompt, t =>
        {
            Model.Layers[0].Hidden.Save("first");
            Model["transformer.h.0.attn.attn_dropout"].Output.Save("never");
        });
        Error error = outcome.Bad(ErrorCode.MissedValue);
        Assert.Equal("Execution complete but `transformer.h.0.attn.attn_dropout.output` (call 0) was not provided: it was called 0 times.", error.Message);
        Assert.Equal((2u, "transformer.h.0.attn.attn_dropout", "OrderTests.cs"), (error.Node, error.Module, error.Line.File));
        Assert.Contains("first", outcome.Names);
    }

    [Fact]
    public void ACallThatDoesNotHappen_OutsideOfAnIteration_IsMissed()
    {
        var p = new ProgramBuilder();
        p.Trace(ProgramBuilder.Tokens([3, 1]), () => p.Save(p.Read("lm_head", call: 2), "logits"), new Generation { MaxNewTokens = 2 });
        Assert.Contains("(call 2) was not provided: it was called 2 times", _rig.Run(p.Program)[0].Bad(ErrorCode.MissedValue).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void InvokesThatWaitForEachOther_AreADeadlock()
    {
        Error error = _rig.Run(_rig.Record(null, t =>
        {
            Barrier barrier = t.Barrier(3);
            using (t.Invoke(s_prompt)) barrier.Wait();
            using (t.Invoke(s_other)) barrier.Wait();
        }))[0].Bad(ErrorCode.Deadlock);
        Assert.Equal("A barrier waits for 3 invokes, but fewer came to it.", error.Message);
        Assert.Equal("OrderTests.cs", error.Line.File);
    }

    [Fact]
    public void AValueOfAnInvoke_ThatComesTooLateForAnother_IsOutOfOrder()
    {
        Error error = _rig.Run(_rig.Record(null, t =>
        {
            Value logits;
            using (t.Invoke(s_prompt)) logits = Model.Logits;
            using (t.Invoke(s_prompt)) Model.Embed.Output = logits;
        }))[0].Bad(ErrorCode.OutOfOrder);
        Assert.Equal("transformer.wte", error.Module);
    }

    [Fact]
    public void AValueOfAnInvokeThatStopped_WasNeverComputed()
    {
        Error error = _rig.Run(_rig.Record(null, t =>
        {
            Value first;
            using (t.Invoke(s_prompt))
            {
                t.Stop();
                first = Model.Layers[0].Hidden;
            }
            using (t.Invoke(s_prompt)) Model.Layers[1].Hidden = first;
        }))[0].Bad(ErrorCode.MissedValue);
        Assert.Contains("its invoke stopped before it", error.Message, StringComparison.Ordinal);
        Assert.Contains("OrderTests.cs:", error.Message, StringComparison.Ordinal);
    }
}
