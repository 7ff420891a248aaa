using Ndif.Engine.Tests.Support;
using Ndif.Protocol;


namespace Ndif.Engine.Tests.Interleaving;

/// <summary>
/// Accesses that are too late, that never happen, and that are no longer possible: each error names module, call, node and line.
/// </summary>
public sealed class OrderTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4], _other = [9, 2];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    [Fact]
    public void AModulesInput_IsStillThere_AtItsOutput_ToBeRead()
    {
        JobOutcome run = _fixture.Run(_prompt, _ =>
        {
            Envoy mlp = _fixture.Model.Layers[0].Mlp;
            mlp.Input.Clone().Save("input");
            mlp.Output += mlp.Input * 2; // C# reads the left side first
            mlp.Output.Save("sum");
        }).AssertCompleted();
        JobOutcome plain = _fixture.Run(_prompt, _ => _fixture.Model.Layers[0].Mlp.Output.Save("output")).AssertCompleted();
        TensorAssert.Equal(plain.Tensor("output") + run.Tensor("input") * 2f, run.Tensor("sum"), 1e-5);
        _fixture.Run(_prompt, _ =>
        {
            Envoy mlp = _fixture.Model.Layers[0].Mlp;
            mlp.Output.Save("output");
            mlp.Input = 0;
        }).AssertFailed(ErrorCode.OutOfOrder);
        _fixture.Run(_prompt, _ =>
        {
            Envoy mlp = _fixture.Model.Layers[0].Mlp;
            mlp.Output.Save("output");
            mlp.Input[0][..] = 0;
        }).AssertFailed(ErrorCode.OutOfOrder);
        _fixture.Run(_prompt, _ => _fixture.Model.Layers[0].Mlp.Skip(_fixture.Model.Layers[0].Mlp.Output))
            .AssertFailed(ErrorCode.OutOfOrder);
        _fixture.Run(_prompt, _ =>
        {
            _fixture.Model.Layers[0].Mlp.Output.Save("output");
            _fixture.Model.Layers[0].Output.Save("later");
            _fixture.Model.Layers[0].Mlp.Input.Save("input");
        }).AssertFailed(ErrorCode.OutOfOrder);
    }

    [Fact]
    public void AModuleThatHasRun_CannotBeReadAnyMore()
    {
        Error error = _fixture.Run(_prompt, t =>
        {
            Model.Layers[1].Hidden.Save("second");
            Model.Layers[0].Hidden.Save("first");
        }).AssertFailed(ErrorCode.OutOfOrder);
        Assert.Equal("Value was missed for `transformer.h.0.output` (call 0): the model had already run past it when it was accessed.",
            error.Message);
        Assert.Equal("transformer.h.0", error.Module);
        Assert.Equal((2u, "OrderTests.cs"), (error.Node, error.Line.File));
        Assert.Contains("`transformer.h.1.output` came first", error.Hint, StringComparison.Ordinal);
    }

    [Fact]
    public void AWrite_CannotComeTooLateEither() => _fixture.Run(_prompt, t =>
    {
        Value logits = Model.Logits;
        Model.Layers[0].Hidden = logits;
    }).AssertFailed(ErrorCode.OutOfOrder);

    [Fact]
    public void AModuleThatIsNeverCalled_IsMissed()
    {
        JobOutcome outcome = _fixture.Run(_prompt, t =>
        {
            Model.Layers[0].Hidden.Save("first");
            Model["transformer.h.0.attn.attn_dropout"].Output.Save("never");
        });
        Error error = outcome.AssertFailed(ErrorCode.MissedValue);
        Assert.Equal("Execution complete but `transformer.h.0.attn.attn_dropout.output` (call 0) was not provided: it was called 0 times.",
            error.Message);
        Assert.Equal((2u, "transformer.h.0.attn.attn_dropout", "OrderTests.cs"), (error.Node, error.Module, error.Line.File));
        Assert.Contains("first", outcome.Names);
    }

    [Fact]
    public void ACallThatDoesNotHappen_OutsideOfAnIteration_IsMissed()
    {
        var p = new ProgramBuilder();
        p.Trace(ProgramBuilder.Tokens([3, 1]), () => p.Save(p.Read("lm_head", call: 2), "logits"), new Generation { MaxNewTokens = 2 });
        Assert.Contains("(call 2) was not provided: it was called 2 times",
            _fixture.Run(p.Program)[0].AssertFailed(ErrorCode.MissedValue).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void InvokesThatWaitForEachOther_AreADeadlock()
    {
        Error error = _fixture.Run(_fixture.Record(null, t =>
        {
            Barrier barrier = t.Barrier(3);
            using (t.Invoke(_prompt)) barrier.Wait();
            using (t.Invoke(_other)) barrier.Wait();
        }))[0].AssertFailed(ErrorCode.Deadlock);
        Assert.Equal("A barrier waits for 3 invokes, but fewer came to it.", error.Message);
        Assert.Equal("OrderTests.cs", error.Line.File);
    }

    [Fact]
    public void AValueOfAnInvoke_ThatComesTooLateForAnother_IsOutOfOrder()
    {
        Error error = _fixture.Run(_fixture.Record(null, t =>
        {
            Value logits;
            using (t.Invoke(_prompt)) logits = Model.Logits;
            using (t.Invoke(_prompt)) Model.Embed.Output = logits;
        }))[0].AssertFailed(ErrorCode.OutOfOrder);
        Assert.Equal("transformer.wte", error.Module);
    }

    [Fact]
    public void AValueOfAnInvokeThatStopped_WasNeverComputed()
    {
        Error error = _fixture.Run(_fixture.Record(null, t =>
        {
            Value first;
            using (t.Invoke(_prompt))
            {
                t.Stop();
                first = Model.Layers[0].Hidden;
            }
            using (t.Invoke(_prompt)) Model.Layers[1].Hidden = first;
        }))[0].AssertFailed(ErrorCode.MissedValue);
        Assert.Contains("its invoke stopped before it", error.Message, StringComparison.Ordinal);
        Assert.Contains("OrderTests.cs:", error.Message, StringComparison.Ordinal);
    }
}
