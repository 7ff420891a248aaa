namespace Ndif.Language.Tests;

/// <summary>
/// nnsight's test_lm.py, TestScan: shapes without weights. A scan runs in the user's process, whatever the backend of the model.
/// </summary>
public sealed class ScanTests(ServiceFixture service) : LanguageTests(service)
{
    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestScan.test_basic_scan")]
    public async Task AScan_GivesShapes(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Scan(NewYork);
        Saved hidden = llm.Layers[0].Hidden.Shape.Save(), last = llm.Layers[^1].Output[0].Shape[^1].Save(),
            logits = llm.LmHead.Output.Shape.Save();
        await t.RunAsync(Cancel);
        Assert.Equal([1L, 9, 128], Numbers(hidden));
        Assert.Equal(128, last.Item<long>());
        Assert.Equal([1L, 9, 1422], Numbers(logits));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestScan.test_scan_with_intervention")]
    public async Task AScan_FollowsTheShapesOfInterventions(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Scan(NewYork);
        Saved wide = Op.Cat([llm.Layers[0].Hidden, llm.Layers[0].Hidden], -1).Shape.Save();
        llm.Layers[1].Hidden = Op.ZerosLike(llm.Layers[1].Hidden);
        Saved after = llm.LmHead.Output[.., ^1].Shape.Save();
        await t.RunAsync(Cancel);
        Assert.Equal([1L, 9, 256], Numbers(wide));
        Assert.Equal([1L, 1422], Numbers(after));
        using Trace wrong = llm.Scan(NewYork);
        llm.Layers[1].Hidden = llm.Layers[1].Hidden.MatMul(TensorData.Zeros([64, 128]));
        await Assert.ThrowsAsync<ShapeMismatchException>(() => wrong.RunAsync(Cancel));
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_lm/TestScan.test_scan_undispatched")]
    public async Task AScan_LoadsNoWeights(ExecutionMode mode)
    {
        var llm = new LanguageModel(ModelWithoutTokenizer, remote: Backend(mode)); // the folder has no weights
        using Trace t = llm.Scan(new[] { 1, 2 });
        Saved shape = llm.Layers[0].Mlp.Output.Shape.Save();
        await t.RunAsync(Cancel);
        Assert.Equal([1L, 2, 128], Numbers(shape));
        Assert.False(llm.IsLoaded);
        await Assert.ThrowsAnyAsync<NdifException>(() => LogitsAsync(llm, new[] { 1, 2 }));
    }

    [Fact]
    public async Task TheWeights_AreLoadedBeforeTheFirstRun_IfAsked()
    {
        var llm = new LanguageModel(ServiceFixture.Model, remote: Ndif.Backend.Local);
        await llm.LoadAsync(Cancel);
        await llm.LoadAsync(Cancel);
        Assert.True(llm.IsLoaded);
        await Assert.ThrowsAnyAsync<NdifException>(() => new LanguageModel(ModelWithoutTokenizer).LoadAsync(Cancel));
        await Assert.ThrowsAsync<OperationCanceledException>(() => llm.LoadAsync(new CancellationToken(canceled: true)));
    }
}
