using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Tests.Scheduling;

/// <summary>What the rows of a generation are counted as before they run is what their cache takes.</summary>
public sealed class CacheMemoryTests
{
    private static readonly int[] _prompt = [1, 2, 3];

    [Theory]
    [InlineData("GraniteMoe", true, false)]
    [InlineData("gemma3n", true, false)]
    [InlineData("gemma4", true, false)]
    [InlineData("mamba", false, true)]
    [InlineData("jamba", true, true)]
    [InlineData("falcon_h1", true, true)]
    [InlineData("qwen3_next", true, true)]
    public void TokensAndStates_AreCountedAsTheCacheHasThem(string architecture, bool hasKeys, bool hasStates)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of(architecture, 2));
        HookedLanguageModel model = fixture.HookedModel;
        Assert.Equal((hasKeys, hasStates), (model.CacheBytesPerToken > 0, model.CacheBytesPerRow > 0));
        using var noGrad = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using KeyValueCache cache = model.NewCache();
        torch.Tensor ids = TinyModel.Ids(2, 70, 1), positions = torch.arange(70).expand(2, 70); // [batch, seq]
        model.Root.Call(new(ids, torch.ones_like(ids), positions, cache));
        Assert.Equal(2 * (model.CacheBytesPerToken * KeyValueCache.CapacityOf(70) + model.CacheBytesPerRow), cache.ByteCount);
    }

    [Fact]
    public void LayersThatShareKeys_TakeNoMemory()
    {
        using EngineFixture all = EngineFixture.Of(TinyConfigs.Of("gemma4", 2)
            .Replace("\"num_kv_shared_layers\": 2", "\"num_kv_shared_layers\": 0", StringComparison.Ordinal)),
            shared = EngineFixture.Of(TinyConfigs.Of("gemma4", 2));
        Assert.Equal(all.HookedModel.CacheBytesPerToken, 2 * shared.HookedModel.CacheBytesPerToken);
    }

    [Theory]
    [InlineData("mamba")]
    [InlineData("jamba")]
    public void AGenerationWaits_UntilTheStatesOfItsRowsFit(string architecture)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of(architecture, 2));
        long oneRow = fixture.HookedModel.CacheBytesPerToken * 64 + fixture.HookedModel.CacheBytesPerRow; // up to 64 tokens
        using var scheduler = new ModelScheduler(fixture.HookedModel, maxCacheBytes: 3 * oneRow);
        JobRun[] jobs = [.. Enumerable.Range(0, 3).Select(i => Add(_prompt)), Add(_prompt, _prompt, _prompt)];
        scheduler.Step();
        Assert.Equal(ErrorCode.OutOfMemory, jobs[3].Error?.Code);
        Assert.Equal([1L, 1, 0], jobs.Take(3).Select(job => Math.Min(1, job.ForwardPassCount)));
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.All(jobs.Take(3), job => Assert.Null(job.Error));
        foreach (JobRun job in jobs) job.Dispose();

        JobRun Add(params int[][] prompts)
        {
            Program program = fixture.RecordIn(fixture.Model.Generate(prompts, 4, new() { IgnoreEos = true }), t => t.Result.Save("ids"));
            var job = new JobRun(Compiler.Compile(program, fixture.HookedModel), new JobOutcome(),
                cancellationToken: TestContext.Current.CancellationToken);
            scheduler.Add(job);
            return job;
        }
    }
}
