using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Ndif.Protocol;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

/// <summary>Several clients follow one job, through one gateway or two.</summary>
public sealed class FollowersTests
{
    [Fact]
    public async Task AJobThatTwoGatewaysFollow_GoesOn_WhenOneClientDrops_AndEndsWithTheLast()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        string key = (await gateway.CreateKeyAsync()).Key.Reveal();
        await using WebApplication second = await StartSecondAsync(gateway);
        using var channel = GrpcChannel.ForAddress(GatewayHost.GetAddress(second).Grpc);
        var other = new Inference.InferenceClient(channel.Intercept(metadata =>
        {
            metadata.Add("authorization", $"Bearer {key}");
            return metadata;
        }));
        string id = Guid.NewGuid().ToString("n");
        var first = await RunAsync(gateway.CreateClient(key), id);
        var follower = await RunAsync(other, id);

        first.Dispose();
        await gateway.Log.WaitForAsync("Inference/Run answered"); // the request has ended
        Assert.Equal(JobState.Queued, (await gateway.FindJobAsync(id))!.State);

        follower.Dispose();
        Assert.Equal(JobState.Cancelled, (await gateway.WaitForEndAsync(id)).State);
        await second.StopAsync(TestGateway.Cancel);
    }

    [Fact]
    public async Task AStreamThatTheQueueHasNotNoted_DoesNotBegin()
    {
        bool isRefused = true;
        await using TestGateway gateway = await TestGateway.StartAsync(configure: backend => backend with
        {
            Jobs = QueueWithoutNotes.Wrap(backend.Jobs, () => isRefused),
        });
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        await client.SubmitAsync(TestModels.Submit("hang", "a"), cancellationToken: TestGateway.Cancel);
        Error error = await GrpcAssert.FailsAsync(StatusCode.Unavailable, async () =>
        {
            using var watch = client.Watch(new WatchRequest { JobId = "a" }, cancellationToken: TestGateway.Cancel);
            await watch.ResponseStream.MoveNext(TestGateway.Cancel);
        });
        Assert.True(error.Retryable);
        isRefused = false;
        using var again = client.Watch(new WatchRequest { JobId = "a" }, cancellationToken: TestGateway.Cancel);
        Assert.True(await again.ResponseStream.MoveNext(TestGateway.Cancel));
    }

    [Fact]
    public async Task AJobThatIsWatched_GoesOn_WhenTheClientThatSubmittedItDrops()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        string id = Guid.NewGuid().ToString("n");
        var run = await RunAsync(client, id);
        using var watch = client.Watch(new WatchRequest { JobId = id }, cancellationToken: TestGateway.Cancel);
        Assert.True(await watch.ResponseStream.MoveNext(TestGateway.Cancel));
        run.Dispose();
        await gateway.Log.WaitForAsync("Inference/Run answered");
        Assert.Equal(JobState.Queued, (await gateway.FindJobAsync(id))!.State);
    }

    [Fact]
    public async Task AJobThatAClientDetached_GoesOn_WhenAnotherClientDropsLater()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        string id = Guid.NewGuid().ToString("n");
        using (var run = await RunAsync(client, id))
        {
            await run.RequestStream.WriteAsync(new RunRequest { Detach = new Nothing() }, TestGateway.Cancel);
            await gateway.Log.WaitForAsync("goes on without its client");
        }
        (await RunAsync(client, id)).Dispose();
        await gateway.Log.WaitForAsync("Inference/Run answered", count: 2);
        Assert.Equal(JobState.Queued, (await gateway.FindJobAsync(id))!.State);
    }

    [Fact]
    public async Task TheSameId_WithAnotherProgram_IsRefused_OnEveryCall()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        SubmitRequest first = TestModels.Submit("hang", "job-1"), another = TestModels.Submit("echo", "job-1");
        await client.SubmitAsync(first, cancellationToken: TestGateway.Cancel);
        Assert.Equal("job-1", (await client.SubmitAsync(first, cancellationToken: TestGateway.Cancel)).Job.Id);
        Error refused = await GrpcAssert.FailsAsync(
            StatusCode.InvalidArgument, async () => await client.SubmitAsync(another, cancellationToken: TestGateway.Cancel));
        Assert.Contains("another program", refused.Message, StringComparison.Ordinal);
        using var run = client.Run(cancellationToken: TestGateway.Cancel);
        await run.RequestStream.WriteAsync(new RunRequest { Submit = another }, TestGateway.Cancel);
        await GrpcAssert.FailsAsync(StatusCode.InvalidArgument, () => run.ResponseStream.MoveNext(TestGateway.Cancel));
    }

    private static async Task<AsyncDuplexStreamingCall<RunRequest, Event>> RunAsync(Inference.InferenceClient client, string id)
    {
        var call = client.Run(cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("hang", id), TestGateway.Cancel);
        Assert.True(await call.ResponseStream.MoveNext(TestGateway.Cancel));
        Assert.True(await call.ResponseStream.MoveNext(TestGateway.Cancel));
        return call;
    }

    private static async Task<WebApplication> StartSecondAsync(TestGateway gateway)
    {
        WebApplication second = GatewayHost.Build(
            TestGateway.CreateOptions(), gateway.Backend, new FileKeyStore(Path.Combine(gateway.Folder, "keys.json")));
        await second.StartAsync(TestGateway.Cancel);
        return second;
    }
}
