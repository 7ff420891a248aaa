using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Interleaving;

/// <summary>
/// Passes that start at a layer, together with rows of other jobs and on every architecture. tests/Language.Tests/StartAtTests.cs has the
/// other cases.
/// </summary>
public sealed class StartAtTests
{
    private static readonly int[] _prompt = [3, 1, 4, 1, 5], _other = [9, 2, 6, 5, 3, 5, 8], _dummy = [7, 7, 7, 7, 7];

    public static TheoryData<string> Architectures => SharedFolder.Path is { } shared
        ? [.. Directory.EnumerateDirectories(System.IO.Path.Combine(shared, "golden"))
            .Where(f => File.Exists(System.IO.Path.Combine(f, "model.safetensors"))).Select(f => System.IO.Path.GetFileName(f)!)
            .Order(StringComparer.Ordinal)]
        : ["gpt2"];

    [Theory, MemberData(nameof(Architectures))]
    public async Task APassFromAnyLayer_GoesOnAsTheWholeDoes_AloneAndBesideOthers(string architecture)
    {
        Assert.SkipWhen(SharedFolder.Path is null, "there are no checkpoints here (NDIF_SHARED)");
        var llm = new LanguageModel(System.IO.Path.Combine(SharedFolder.Path!, "golden", architecture), remote: Backend.Local);
        List<Saved> hidden = [];
        Saved whole, other;
        using (Trace t = llm.Trace())
        {
            using (t.Invoke(_prompt))
            {
                hidden.AddRange(llm.Layers.Select(layer => layer.Input.Save()));
                whole = llm.Logits.Save();
            }
            using (t.Invoke(_other)) other = llm.Logits.Save();
            await t.RunAsync(TestContext.Current.CancellationToken);
        }
        for (int layer = 0; layer < llm.Layers.Count; layer++)
        {
            foreach (bool batched in (bool[])[false, true])
            {
                using Trace t = llm.Trace();
                Saved started, beside = other;
                using (t.Invoke(_dummy))
                {
                    t.StartAt(llm.Layers[layer], hidden[layer].Tensor);
                    started = llm.Logits.Save();
                }
                if (batched)
                    using (t.Invoke(_other)) beside = llm.Logits.Save();
                await t.RunAsync(TestContext.Current.CancellationToken);
                TensorAssert.Equal(whole, started);
                TensorAssert.Equal(other, beside);
            }
        }
    }

    [Fact]
    public void AnOwnersStart_DoesNotReachAnothersRows()
    {
        using EngineFixture rig = EngineFixture.GPT2(layers: 4);
        TensorData hidden = rig.Run(_prompt, t => rig.Model.Layers[2].Input.Save("hidden")).AssertCompleted().Tensor("hidden");
        Program Start() => rig.Record(_dummy, t =>
        {
            t.StartAt(rig.Model.Layers[2], hidden);
            rig.Model.Logits.Save("logits");
        });
        Program Plain() => rig.Record(_other, t =>
        {
            rig.Model.Layers[0].Hidden.Save("early");
            rig.Model.Logits.Save("logits");
        });
        JobOutcome startedAlone = rig.Run(Start())[0].AssertCompleted(), plainAlone = rig.Run(Plain())[0].AssertCompleted();
        JobOutcome[] together = rig.Run(Plain(), Start(), Plain());
        TensorAssert.Equal(startedAlone.Tensor("logits"), together[1].AssertCompleted().Tensor("logits"));
        foreach (JobOutcome plain in (JobOutcome[])[together[0], together[2]])
        {
            TensorAssert.Equal(plainAlone.Tensor("early"), plain.AssertCompleted().Tensor("early"));
            TensorAssert.Equal(plainAlone.Tensor("logits"), plain.Tensor("logits"));
        }
    }

    [Fact]
    public void AStartThatFails_EndsItsOwner_AndNoOther()
    {
        using EngineFixture rig = EngineFixture.GPT2(layers: 4);
        Program Start(params long[] shape) => rig.Record(_prompt, t =>
        {
            t.StartAt(rig.Model.Layers[2], TensorData.Zeros(shape));
            rig.Model.Logits.Save("logits");
        });
        Program Plain() => rig.Record(_other, t => rig.Model.Logits.Save("logits"));
        JobOutcome alone = rig.Run(Plain())[0].AssertCompleted();
        foreach ((long[] shape, ErrorCode code) in ((long[], ErrorCode)[])[([1, 4, 16], ErrorCode.ShapeMismatch),
            ([2, 5, 16], ErrorCode.ShapeMismatch), ([1, 5, 7], ErrorCode.ShapeMismatch)])
        {
            JobOutcome[] together = rig.Run(Plain(), Start(shape), Plain());
            together[1].AssertFailed(code);
            TensorAssert.Equal(alone.Tensor("logits"), together[0].AssertCompleted().Tensor("logits"));
            TensorAssert.Equal(alone.Tensor("logits"), together[2].AssertCompleted().Tensor("logits"));
        }
    }

    [Fact]
    public void AGradient_ComesToTheValueThatAPassBeganWith()
    {
        using EngineFixture rig = EngineFixture.GPT2(layers: 4);
        JobOutcome whole = rig.Run(rig.RecordIn(rig.Model.Trace(_prompt, grad: true), t =>
        {
            Value input = rig.Model.Layers[2].Input;
            input.Save("input");
            t.Backward(rig.Model.Logits.Sum());
            input.Grad.Save("grad");
        }))[0].AssertCompleted();
        JobOutcome started = rig.Run(rig.RecordIn(rig.Model.Trace(_dummy, grad: true), t =>
        {
            Value value = t.Parameter(whole.Tensor("input"));
            t.StartAt(rig.Model.Layers[2], value);
            t.Backward(rig.Model.Logits.Sum());
            value.Grad.Save("grad");
        }))[0].AssertCompleted();
        TensorAssert.Equal(whole.Tensor("grad"), started.Tensor("grad"), 1e-3);
    }
}
