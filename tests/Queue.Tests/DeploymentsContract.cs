using Ndif.Protocol;
using Ndif.Queue.Rules;
using Ndif.Queue.Tests.Support;


namespace Ndif.Queue.Tests;

/// <summary>The contract test of all implementations of <see cref="IDeployments"/>.</summary>
public abstract class DeploymentsContract : IAsyncLifetime
{
    private static readonly DateTimeOffset _noon = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);

    protected abstract QueueBackend NewBackend();

    /// <summary>Expires the replica claims of the other workers.</summary>
    protected abstract Task ExpireAsync(string name, string worker);

    protected QueueBackend Backend { get; private set; } = null!;

    protected static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private IDeployments Deployments => Backend.Deployments;

    public ValueTask InitializeAsync()
    {
        Backend = NewBackend();
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await Backend.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task WhatIsWanted_IsKept_ByName_UntilItIsNot()
    {
        Assert.Empty(await Deployments.ListAsync(Cancel));
        await Deployments.SetAsync(new Deployment { Model = "b", Replicas = 1 }, Cancel);
        await Deployments.SetAsync(
            new Deployment { Model = "a", Revision = "r1", Replicas = 2, Pinned = true, Dtype = DataType.Bfloat16 }, Cancel);
        await Deployments.SetAsync(new Deployment { Model = "a", Replicas = 1 }, Cancel);
        Deployment again = await Deployments.SetAsync(new Deployment { Model = "b", Replicas = 3 }, Cancel);
        Assert.NotNull(again.Changed);
        IReadOnlyList<Deployment> all = await Deployments.ListAsync(Cancel);
        Assert.Equal(["a", "a@r1", "b"], all.Select(ModelNames.GetName));
        Assert.Equal((2u, true, DataType.Bfloat16), (all[1].Replicas, all[1].Pinned, all[1].Dtype));
        Assert.Equal(again, all[2]);
        Assert.True(await Deployments.RemoveAsync("a@r1", Cancel));
        Assert.False(await Deployments.RemoveAsync("a@r1", Cancel));
        Assert.Equal(["a", "b"], (await Deployments.ListAsync(Cancel)).Select(d => d.Model));
    }

    [Theory]
    [InlineData("", 1u)]
    [InlineData("two words", 1u)]
    [InlineData("a\nb", 1u)]
    [InlineData("a", 0u)]
    [InlineData("a", 1001u)]
    public async Task WhatCannotBeWanted_IsRefused(string model, uint replicas)
    {
        NdifException refused = await Assert.ThrowsAnyAsync<NdifException>(
            () => Deployments.SetAsync(new Deployment { Model = model, Replicas = replicas }, Cancel));
        Assert.Equal(ErrorCode.BadArgument, refused.Code);
        Assert.Empty(await Deployments.ListAsync(Cancel));
    }

    [Fact]
    public async Task AsManyHoldAModel_AsAreWanted_AndKeepIt()
    {
        Assert.True(await ClaimReplicaAsync("w1", 2));
        Assert.True(await ClaimReplicaAsync("w2", 2));
        Assert.False(await ClaimReplicaAsync("w3", 2));
        Assert.True(await ClaimReplicaAsync("w1", 2));
        Assert.True(await Deployments.ClaimReplicaAsync("other", "w3", 1, _noon, Cancel));
        await Deployments.ReleaseReplicaAsync("gpt2", "w2", Cancel);
        Assert.True(await ClaimReplicaAsync("w3", 2));
        Assert.False(await ClaimReplicaAsync("w2", 2));
    }

    [Fact]
    public async Task OfManyThatAskAtOnce_OneHoldsIt()
    {
        bool[] held = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => ClaimReplicaAsync($"w{i}", 1)));
        Assert.Single(held, holds => holds);
    }

    [Fact]
    public async Task OfTooMany_TheLeastRecentlyUsedLoseIt()
    {
        foreach ((string worker, int used) in new[] { ("w1", 2), ("w2", 1), ("w3", 3) })
            Assert.True(await ClaimReplicaAsync(worker, 3, used));
        // scaled to one: whichever worker renews first, only the most recently used one keeps its claim
        Assert.True(await ClaimReplicaAsync("w3", 1, 3));
        Assert.False(await ClaimReplicaAsync("w2", 1, 1));
        Assert.False(await ClaimReplicaAsync("w1", 1, 2));
        Assert.True(await ClaimReplicaAsync("w3", 1, 3));
    }

    [Fact]
    public async Task OfTooMany_UsedAtTheSameTime_OneKeepsIt()
    {
        foreach (string worker in (string[])["w2", "w1"]) Assert.True(await ClaimReplicaAsync(worker, 2));
        bool[] held = [await ClaimReplicaAsync("w2", 1), await ClaimReplicaAsync("w1", 1)];
        Assert.Equal([false, true], held);
    }

    [Fact]
    public async Task AWorkerThatWasStartedWithAModel_KeepsIt_AndIsCounted()
    {
        Assert.True(await Deployments.ClaimReplicaAsync("gpt2", "w1", int.MaxValue, DeploymentRules.AlwaysInUse, Cancel));
        Assert.False(await ClaimReplicaAsync("w2", 1, 500));
        Assert.True(await ClaimReplicaAsync("w2", 2, 500));
        Assert.False(await ClaimReplicaAsync("w2", 1, 500));
    }

    [Fact]
    public async Task ADeadWorkersModel_MayBeHeldByAnother()
    {
        Assert.True(await ClaimReplicaAsync("w1", 1));
        Assert.False(await ClaimReplicaAsync("w2", 1));
        await ExpireAsync("gpt2", "w1");
        Assert.True(await ClaimReplicaAsync("w2", 1));
        Assert.False(await ClaimReplicaAsync("w1", 1));
    }

    [Fact]
    public async Task Orders_ReachTheirWorker_InOrder_Once()
    {
        Assert.Empty(await Deployments.DequeueOrdersAsync("w1", Cancel));
        await Deployments.SendOrderAsync("w1", new WorkerOrder { Evict = "a" }, Cancel);
        await Deployments.SendOrderAsync("w2", new WorkerOrder { Evict = "x" }, Cancel);
        await Deployments.SendOrderAsync("w1", new WorkerOrder { Drain = true }, Cancel);
        Assert.Equal(
            [new WorkerOrder { Evict = "a" }, new WorkerOrder { Drain = true }], await Deployments.DequeueOrdersAsync("w1", Cancel));
        Assert.Empty(await Deployments.DequeueOrdersAsync("w1", Cancel));
        await Deployments.SendOrderAsync("w1", new WorkerOrder { Evict = "b" }, Cancel);
        Assert.Equal([new WorkerOrder { Evict = "b" }], await Deployments.DequeueOrdersAsync("w1", Cancel));
    }

    [Theory]
    [InlineData("a change")]
    [InlineData("an end")]
    [InlineData("an order")]
    [InlineData("a job")]
    public async Task NewsOfAWorker_WakeIt(string what)
    {
        await Deployments.SetAsync(new Deployment { Model = "old", Replicas = 1 }, Cancel);
        using IChangeSubscription news = await Deployments.SubscribeAsync("w1", ["gpt2", "gpt2@r"], Cancel);
        Task woken = news.WaitAsync(TimeSpan.FromMinutes(5), Cancel);
        switch (what)
        {
            case "a change": await Deployments.SetAsync(new Deployment { Model = "new", Replicas = 1 }, Cancel); break;
            case "an end": await Deployments.RemoveAsync("old", Cancel); break;
            case "an order": await Deployments.SendOrderAsync("w1", new WorkerOrder { Drain = true }, Cancel); break;
            default: await Backend.Jobs.SubmitAsync(new JobSubmission("j", "ana", "gpt2@r", new byte[] { 1 }), Cancel); break;
        }
        await woken.WaitAsync(TimeSpan.FromSeconds(30), Cancel);
    }

    [Fact]
    public async Task WhatDoesNotConcernAWorker_DoesNotWakeIt()
    {
        using IChangeSubscription news = await Deployments.SubscribeAsync("w1", ["gpt2"], Cancel);
        await Deployments.SendOrderAsync("w2", new WorkerOrder { Drain = true }, Cancel);
        await Backend.Jobs.SubmitAsync(new JobSubmission("j", "ana", "other", new byte[] { 1 }), Cancel);
        Task woken = news.WaitAsync(TimeSpan.FromMinutes(5), Cancel);
        Assert.NotSame(woken, await Task.WhenAny(woken, Task.Delay(TimeSpan.FromMilliseconds(100), Cancel)));
        await Deployments.SendOrderAsync("w1", new WorkerOrder { Drain = true }, Cancel);
        await woken.WaitAsync(TimeSpan.FromSeconds(30), Cancel);
    }

    [Fact]
    public async Task AReason_CountsIfEveryWorkerThatStaysHasIt()
    {
        Error full = Errors.Create(ErrorCode.OutOfMemory, "It does not fit.");
        await PublishHeartbeatAsync("w1", new ModelStatus { Id = "a", Heat = Heat.Cold, Error = full });
        Assert.Equal(full, Assert.Single(await Backend.Workers.ListModelsAsync(Cancel)).Error);
        await PublishHeartbeatAsync("w2");
        // the other worker may be able to load it, and has not reported yet
        Assert.Null(Assert.Single(await Backend.Workers.ListModelsAsync(Cancel)).Error);
        await PublishHeartbeatAsync("w2", new ModelStatus { Id = "a", Heat = Heat.Cold });
        Assert.Null(Assert.Single(await Backend.Workers.ListModelsAsync(Cancel)).Error);
        await PublishHeartbeatAsync("w2", new ModelStatus { Id = "a", Heat = Heat.Cold, Error = full });
        Assert.Equal(full, Assert.Single(await Backend.Workers.ListModelsAsync(Cancel)).Error);
        await Backend.Workers.PublishHeartbeatAsync(new WorkerStatus { Id = "w3", Draining = true }, [], Cancel);
        Assert.Equal(full, Assert.Single(await Backend.Workers.ListModelsAsync(Cancel)).Error);
    }

    [Fact]
    public async Task AForgottenModel_IsNotDescribedAnyMore()
    {
        await Backend.Workers.SetDescriptionAsync(new ModelDescription { Id = "gpt2", Revision = "r1" }, ["gpt2@main", "gpt2"], Cancel);
        Assert.NotNull(await Backend.Workers.GetDescriptionAsync("gpt2@main", Cancel));
        Assert.Null(await Backend.Workers.GetDescriptionAsync("gpt2@r1", Cancel));
        await Backend.Workers.RemoveDescriptionAsync("gpt2@main", Cancel);
        Assert.Null(await Backend.Workers.GetDescriptionAsync("gpt2@main", Cancel));
        Assert.NotNull(await Backend.Workers.GetDescriptionAsync("gpt2", Cancel));
    }

    private Task<bool> ClaimReplicaAsync(string worker, int maxReplicas, int lastUsedSeconds = 0) =>
        Deployments.ClaimReplicaAsync("gpt2", worker, maxReplicas, _noon.AddSeconds(lastUsedSeconds), Cancel);

    private Task<IReadOnlyList<string>> PublishHeartbeatAsync(string worker, params ModelStatus[] models) =>
        Backend.Workers.PublishHeartbeatAsync(new WorkerStatus { Id = worker }, models, Cancel);
}

public sealed class InMemoryDeploymentsTests : DeploymentsContract
{
    private readonly ManualTime _time = new();

    protected override QueueBackend NewBackend() => QueueBackend.InMemory(time: _time);

    /// <summary>The others would renew after this; here they do not, so their claims expire as well.</summary>
    protected override Task ExpireAsync(string name, string worker)
    {
        _time.Advance(TimeSpan.FromSeconds(5));
        return Task.CompletedTask;
    }
}

public sealed class RedisDeploymentsTests(RedisServer server) : DeploymentsContract
{
    private readonly QueueOptions _options = new() { Prefix = $"ndif:test-{Guid.NewGuid():n}:" };

    protected override QueueBackend NewBackend() => QueueBackend.Redis(server.ServiceConnection.Configuration, _options);

    protected override async Task ExpireAsync(string name, string worker)
    {
        StackExchange.Redis.RedisKey holders = $"{_options.Prefix}holders:{name}";
        Assert.InRange((await server.OperatorConnection.GetDatabase().KeyTimeToLiveAsync(holders))!.Value, TimeSpan.Zero,
            2 * _options.HeartbeatLifetime);
        Assert.False(await server.OperatorConnection.GetDatabase().HashSetAsync(holders, worker, "0 0"));
    }
}
