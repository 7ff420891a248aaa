using Ndif.Protocol;
using Ndif.Queue.Memory;
using Ndif.Queue.Redis;
using Ndif.Queue.Tests.Support;


namespace Ndif.Queue.Tests;

/// <summary>The contract test of all worker registries.</summary>
public abstract class WorkerRegistryContract
{
    protected abstract IWorkerRegistry NewRegistry();

    /// <summary>Expires the heartbeats of this registry.</summary>
    protected abstract Task ExpireAsync(IWorkerRegistry registry);

    protected static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Workers_AreThere_UntilTheyLeave()
    {
        IWorkerRegistry registry = NewRegistry();
        await registry.PublishHeartbeatAsync(new WorkerStatus { Id = "w2", Device = "cpu", Jobs = { "a" } }, [], Cancel);
        await registry.PublishHeartbeatAsync(new WorkerStatus { Id = "w1" }, [], Cancel);
        IReadOnlyList<WorkerStatus> workers = await registry.ListWorkersAsync(Cancel);
        Assert.Equal(["w1", "w2"], workers.Select(w => w.Id));
        Assert.Equal(("cpu", "a"), (workers[1].Device, workers[1].Jobs.Single()));
        Assert.NotNull(workers[0].Seen);
        await registry.UnregisterAsync("w1", Cancel);
        Assert.Equal(["w2"], (await registry.ListWorkersAsync(Cancel)).Select(w => w.Id));
    }

    [Fact]
    public async Task AWorker_ThatFallsSilent_Vanishes_WithItsModels_AndMayComeBack()
    {
        IWorkerRegistry registry = NewRegistry();
        await registry.PublishHeartbeatAsync(new WorkerStatus { Id = "w1" }, [Model("gpt2", Heat.Hot)], Cancel);
        await ExpireAsync(registry);
        Assert.Empty(await registry.ListWorkersAsync(Cancel));
        Assert.Empty(await registry.ListModelsAsync(Cancel));
        await registry.PublishHeartbeatAsync(new WorkerStatus { Id = "w1" }, [], Cancel);
        Assert.Single(await registry.ListWorkersAsync(Cancel));
    }

    [Fact]
    public async Task AWorker_LearnsWhichOfItsModelsOthersServe()
    {
        IWorkerRegistry registry = NewRegistry();
        Assert.Empty(await PublishAsync("w1", false, "a", "b"));
        Assert.Equal(["b"], await PublishAsync("w2", false, "b", "c"));
        Assert.Equal(["b"], await PublishAsync("w1", false, "a", "b"));
        Assert.Equal(["c"], await PublishAsync("w3", true, "c"));
        Assert.Equal(["b"], await PublishAsync("w2", true, "b", "c")); // w3 is draining
        Assert.Empty(await PublishAsync("w1", false, "a", "b"));
        Assert.Empty(await PublishAsync("w4", false));

        Task<IReadOnlyList<string>> PublishAsync(string worker, bool draining, params string[] models) =>
            registry.PublishHeartbeatAsync(new WorkerStatus { Id = worker, Draining = draining, Models = { models } }, [], Cancel);
    }

    [Fact]
    public async Task Models_AreMerged_HottestFirst_ReplicasCounted()
    {
        IWorkerRegistry registry = NewRegistry();
        await registry.PublishHeartbeatAsync(
            new WorkerStatus { Id = "w1" }, [Model("cold", Heat.Cold), Model("one", Heat.Hot), Model("two", Heat.Hot)], Cancel);
        await registry.PublishHeartbeatAsync(new WorkerStatus { Id = "w2" }, [Model("one", Heat.Warm), Model("two", Heat.Hot)], Cancel);
        Assert.Equal(
            [("two", Heat.Hot, 2u), ("one", Heat.Hot, 1u), ("cold", Heat.Cold, 0u)],
            (await registry.ListModelsAsync(Cancel)).Select(m => (m.Id, m.Heat, m.Replicas)));
    }

    [Fact]
    public async Task Descriptions_AreFoundByIdAndByRevision_UntilDescribedAgain()
    {
        IWorkerRegistry registry = NewRegistry();
        Assert.Null(await registry.GetDescriptionAsync("gpt2", Cancel));
        await registry.SetDescriptionAsync(new ModelDescription { Id = "gpt2", Revision = "r1", Parameters = 1 }, Cancel);
        await registry.SetDescriptionAsync(new ModelDescription { Id = "gpt2", Revision = "r2", Parameters = 2 }, Cancel);
        Assert.Equal(2ul, (await registry.GetDescriptionAsync("gpt2", Cancel))?.Parameters);
        Assert.Equal(1ul, (await registry.GetDescriptionAsync("gpt2@r1", Cancel))?.Parameters);
    }

    private static ModelStatus Model(string id, Heat heat) => new() { Id = id, Heat = heat };
}

public sealed class InMemoryWorkerRegistryTests : WorkerRegistryContract
{
    private readonly ManualTime _time = new();

    protected override IWorkerRegistry NewRegistry() => new InMemoryWorkerRegistry(time: _time);

    protected override Task ExpireAsync(IWorkerRegistry registry)
    {
        _time.Advance(TimeSpan.FromSeconds(6));
        return Task.CompletedTask;
    }
}

public sealed class RedisWorkerRegistryTests(RedisServer server) : WorkerRegistryContract
{
    private readonly QueueOptions _options = new() { Prefix = $"ndif:test-{Guid.NewGuid():n}:" };

    protected override IWorkerRegistry NewRegistry() => new RedisWorkerRegistry(server.ServiceConnection, _options);

    protected override async Task ExpireAsync(IWorkerRegistry registry)
    {
        await foreach (StackExchange.Redis.RedisKey beat in server.OperatorConnection.GetServers()[0].KeysAsync(
            pattern: _options.Prefix + "worker:*"))
        {
            Assert.InRange(
                (await server.OperatorConnection.GetDatabase().KeyTimeToLiveAsync(beat))!.Value, TimeSpan.Zero, _options.HeartbeatLifetime);
            await server.OperatorConnection.GetDatabase().KeyExpireAsync(beat, TimeSpan.Zero);
        }
    }
}
