namespace Ndif.Engine.Tests.Features;

/// <summary>t.Cache(...): nnsight's TestCache, on the bundled model.</summary>
public sealed class CacheTests
{
    public static TheoryData<string> All => Backends.All;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(All))]
    public async Task EveryModule_IsCached_WithWhatASaveGives(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Trace("Hello there");
        ActivationCache cache = t.Cache(inputs: true);
        Saved hidden = llm.Layers[1].Hidden.Save(), input = llm.Layers[2]["mlp"].Input.Save();
        await t.RunAsync(Cancellation);
        Assert.True(((Saved)cache[llm.Layers[1]].Output[0]).Tensor.SameAs(hidden));
        Assert.True(cache["transformer.h.2.mlp"].Input.Tensor.SameAs(input));
        Assert.Equal(cache["model.lm_head"].Output.Tensor.Checksum(), cache["lm_head"].Output.Tensor.Checksum());
    }

    [Theory, MemberData(nameof(All))]
    public async Task ACache_HoldsValuesAfterInterventions_OfModulesAfterItsStart(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Trace("Hello there");
        llm.Layers[1].Hidden[..] = 0;
        ActivationCache cache = t.Cache();
        llm.Layers[2].Hidden[..] = 1;
        await t.RunAsync(Cancellation);
        Assert.DoesNotContain("transformer.h.0", cache.Paths);
        Assert.All(((Saved)cache[llm.Layers[2]].Output[0]).ToArray<float>(), x => Assert.Equal(1, x));
    }

    [Theory, MemberData(nameof(All))]
    public async Task ChosenModules_OfOneInvoke_HaveItsRowsAlone(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Trace();
        ActivationCache cache;
        using (t.Invoke("Hello there, how are you today")) llm.Layers[0].Hidden[..] = 0;
        using (t.Invoke("Hello")) cache = t.Cache(llm.Layers, output: false, inputs: true);
        await t.RunAsync(Cancellation);
        Assert.Equal(llm.Layers.Select(l => l.Path), cache.Paths);
        Assert.Equal([1, 1, 128], cache[llm.Layers[3]].Input.Tensor.Shape.ToArray());
        Assert.Throws<KeyNotFoundException>(() => cache[llm.Layers[3]].Output);
        Assert.Contains("transformer.h.3", Assert.Throws<KeyNotFoundException>(() => cache["transformer.h.33"]).Message,
            StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(All))]
    public async Task AGeneration_CachesEveryStep_InTheTypeAskedFor(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Generate("Hello there", maxNewTokens: 3);
        ActivationCache cache = t.Cache(llm.Layers, dtype: DType.BFloat16);
        await t.RunAsync(Cancellation);
        CacheEntry last = cache[llm.Layers[^1]];
        Assert.Equal(3, last.Count);
        Assert.Equal([1, 1, 128], ((Saved)last[^1].Output[0]).Tensor.Shape.ToArray());
        Assert.Equal(DType.BFloat16, ((Saved)last[0].Output[0]).Tensor.Type);
        Assert.Throws<InvalidOperationException>(() => last.Output);
    }
}
