namespace Ndif.Language.Tests;

/// <summary>nnsight's test_lm.py, TestCache, and test_vllm.py's.</summary>
public sealed class CacheTests(ServiceFixture service) : LanguageTests(service)
{
    private static TensorData First(CacheEntry entry) => ((Saved)entry.Output[0]).Tensor;

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestCache.test_basic_cache", "test_vllm/TestCache.test_basic_cache")]
    public async Task ACache_HoldsEveryModulesOutput(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace("Hello");
        ActivationCache cache = t.Cache();
        Saved hidden = llm.Layers[0].Hidden.Save(), logits = llm.LmHead.Output.Save();
        await t.RunAsync(Cancel);
        Same(hidden, First(cache["model.transformer.h.0"]));
        Same(logits, cache["lm_head"].Output);
        Assert.Throws<KeyNotFoundException>(() => cache["lm_head"].Inputs);
        Assert.Contains("transformer.h.3.mlp.c_fc", cache.Paths);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestCache.test_cache_output_and_inputs")]
    public async Task InputsAreCached_BesideOutputs(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace("Hello");
        ActivationCache cache = t.Cache(inputs: true);
        await t.RunAsync(Cancel);
        Same(First(cache[llm.Layers[0]]), cache[llm.Layers[1]].Input);
        Assert.IsType<Dictionary<string, object?>>(((Saved)cache[llm.Layers[1]].Inputs[1]).Result, exactMatch: false);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestCache.test_cache_inputs_only", "test_lm/TestCache.test_cache_no_entry_input")]
    public async Task InputsAreCached_Alone(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace("Hello");
        ActivationCache cache = t.Cache(output: false, inputs: true);
        await t.RunAsync(Cancel);
        Assert.Equal([1, 1, 128], cache[llm.Layers[0]].Input.Tensor.Shape.ToArray());
        Assert.Contains("ask for it with t.Cache(output: true)",
            Assert.Throws<KeyNotFoundException>(() => cache[llm.Layers[0]].Output).Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestCache.test_cache_generation", "test_lm/TestCache.test_cache_some_modules_generation")]
    public async Task AGeneration_CachesEachCall(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate("Hello", maxNewTokens: 3);
        ActivationCache all = t.Cache(), some = t.Cache(modules: [llm.Layers[0]]);
        await t.RunAsync(Cancel);
        Assert.Equal(3, all["transformer.h.2"].Count);
        Assert.Equal(["transformer.h.0"], some.Paths);
        for (int step = 0; step < 3; step++) Same(First(all[llm.Layers[0]][step]), First(some[llm.Layers[0]][step]));
        Assert.Contains("was called 3 times", Assert.Throws<InvalidOperationException>(() => some[llm.Layers[0]].Output).Message,
            StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestCache.test_cache_with_intervention")]
    public async Task ACache_HoldsWhatInterventionsMade(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace("Hello");
        ActivationCache cache = t.Cache();
        llm.Layers[0].Output[0][..] = 0;
        await t.RunAsync(Cancel);
        Zero(First(cache["transformer.h.0"]));
        NotZero(First(cache["transformer.h.1"]));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestCache.test_cache_single_invoker")]
    public async Task ACacheOfOneInvoke_HoldsItsRows(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace();
        ActivationCache cache;
        Saved other;
        using (t.Invoke(Paris)) other = llm.Layers[0].Hidden.Save();
        using (t.Invoke("Hello")) cache = t.Cache();
        await t.RunAsync(Cancel);
        Assert.Equal([1, 1, 128], First(cache["transformer.h.0"]).Shape.ToArray());
        Assert.Equal([1, 8, 128], other.Tensor.Shape.ToArray());
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestCache.test_cache_after_intervention")]
    public async Task ACacheStartedLate_LacksWhatRanBefore(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace("Hello");
        llm.Layers[1].Hidden[..] = 0;
        ActivationCache cache = t.Cache();
        await t.RunAsync(Cancel);
        Assert.False(cache.Contains(llm.Layers[0]));
        Assert.True(cache.Contains(llm.Layers[2]));
        Assert.Contains("`transformer.h.0` was never cached", Assert.Throws<KeyNotFoundException>(() => cache[llm.Layers[0]]).Message,
            StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestCache.test_cache_skip")]
    public async Task ASkippedModule_IsCachedWithItsValue(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace("Hello");
        ActivationCache cache = t.Cache();
        llm.Layers[1].Skip(llm.Layers[0].Output);
        await t.RunAsync(Cancel);
        Same(First(cache["transformer.h.0"]), First(cache["transformer.h.1"]));
        Assert.False(cache.Contains(llm.Layers[1].Mlp));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestCache.test_cache_some_modules", "test_lm/TestCache.test_cache_some_modules_by_ref",
        "test_vllm/TestCache.test_cache_specific_modules")]
    public async Task ChosenModules_ByPathOrByModule_AreCachedAlone(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace("Hello");
        ActivationCache byPath = t.Cache(modules: ((string[])["transformer.h.0", "lm_head"]).Select(path => llm[path])),
            byModule = t.Cache(modules: llm.Layers);
        await t.RunAsync(Cancel);
        Assert.Equal(["lm_head", "transformer.h.0"], byPath.Paths.Order(StringComparer.Ordinal));
        Assert.Equal(llm.Layers.Select(l => l.Path), byModule.Paths);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestCache.test_multiple_caches")]
    public async Task SeveralCaches_AreKeptApart(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace("Hello");
        ActivationCache first = t.Cache(modules: [llm.Layers[0]]);
        ActivationCache second = t.Cache(modules: [llm.Layers[0], llm.Layers[1]], inputs: true);
        await t.RunAsync(Cancel);
        Assert.Single(first.Paths);
        Assert.Equal(2, second.Paths.Count());
        Same(First(first[llm.Layers[0]]), First(second[llm.Layers[0]]));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestCache.test_cache_attribute_access")]
    public async Task ACache_IsReadByModule_AndWhatIsNotThereIsSaid(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace("Hello");
        ActivationCache cache = t.Cache();
        await t.RunAsync(Cancel);
        Same(First(cache["transformer.h.1"]), First(cache[llm["transformer.h"][1]]));
        Same(First(cache[llm["transformer"]["h"][^1]]), First(cache["model.transformer.h.3"]));
        Assert.Throws<IndexOutOfRangeException>(() => cache[llm["transformer.h"][12]]);
        Assert.Throws<KeyNotFoundException>(() => cache["transformer.h.12"]);
        Assert.Throws<KeyNotFoundException>(() => cache[llm["transformer.h"]]);
        Assert.Throws<BadProgramException>(() => cache[llm["transformer.layers"]]);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestCache.test_cache_alias")]
    public async Task ACache_IsReadByAliases(ExecutionMode mode)
    {
        LanguageModel llm =
            Model(mode, new() { ["transformer.h"] = ["layers", "blocks"], ["mlp"] = "feed_forward", ["lm_head"] = "unembed" });
        using Trace t = llm.Trace("Hello");
        ActivationCache cache = t.Cache();
        await t.RunAsync(Cancel);
        foreach (string path in (string[])["layers.0", "blocks.0", "model.layers.0", "model.transformer.h.0"])
            Same(First(cache["transformer.h.0"]), First(cache[path]));
        Same(cache["transformer.h.2.mlp"].Output, cache["layers.2.feed_forward"].Output);
        Same(cache["lm_head"].Output, cache["unembed"].Output);
        Same(cache["lm_head"].Output, cache[llm["unembed"]].Output);
    }

    [Fact]
    public async Task TheModelItself_HasANameInErrors()
    {
        LanguageModel llm = Model(ExecutionMode.Local);
        using Trace t = llm.Generate(Paris, maxNewTokens: 2, new() { IgnoreEos = true });
        ActivationCache cache = t.Cache([llm]), other = t.Cache([llm.Layers[0]]);
        await t.RunAsync(Cancel);
        Assert.Contains("`model` was called 2 times", Assert.Throws<InvalidOperationException>(() => cache[llm].Output).Message,
            StringComparison.Ordinal);
        Assert.Contains("`model` was never cached", Assert.Throws<KeyNotFoundException>(() => other[llm]).Message,
            StringComparison.Ordinal);
    }
}
