using Grpc.Core;
using Grpc.Health.V1;
using Ndif.Protocol;
using Ndif.Server.Hosting;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Security;

/// <summary>Streams that stay open have a limit for each key, and for all callers without a key.</summary>
public sealed class OpenRequestTests
{
    [Fact]
    public async Task StreamsOfAKey_HaveALimit_AndOtherKeysAreServed()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(jobsInFlight: 2));
        const int Limit = 64;
        Inference.InferenceClient client = await gateway.CreateClientAsync(), other = await gateway.CreateClientAsync();
        await client.SubmitAsync(TestModels.Submit("hang", "followed"), cancellationToken: TestGateway.Cancel);
        List<AsyncServerStreamingCall<Event>> watches = [];
        for (int i = 0; i < Limit; i++)
        {
            watches.Add(client.Watch(new WatchRequest { JobId = "followed" }, cancellationToken: TestGateway.Cancel));
            Assert.True(await watches[^1].ResponseStream.MoveNext(TestGateway.Cancel));
        }

        Error refused = await GrpcAssert.FailsAsync(
            StatusCode.ResourceExhausted,
            async () => await client.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel));
        Assert.Equal(ErrorCode.QuotaExceeded, refused.Code);
        Assert.StartsWith($"{Limit} requests and streams", refused.Message, StringComparison.Ordinal);
        await other.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel);

        foreach (AsyncServerStreamingCall<Event> watch in watches) watch.Dispose();
        await Poll.UntilAsync<Exception?>(async () => await Record.ExceptionAsync(
            async () => await client.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel)),
            failure => failure is null);
    }

    [Fact]
    public async Task StreamsWithoutAKey_HaveALimit_AndProbesAreAnswered()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        var health = new Health.HealthClient(gateway.CreateInvoker(key: null));
        List<AsyncServerStreamingCall<HealthCheckResponse>> watches = [];
        for (int i = 0; i < OpenRequestLimiter.MaxWithoutKey; i++)
        {
            if (i % 64 == 0) health = new Health.HealthClient(gateway.CreateInvoker(key: null)); // a connection has 100 streams
            watches.Add(health.Watch(new HealthCheckRequest(), cancellationToken: TestGateway.Cancel));
            Assert.True(await watches[^1].ResponseStream.MoveNext(TestGateway.Cancel));
        }

        using AsyncServerStreamingCall<HealthCheckResponse> last =
            health.Watch(new HealthCheckRequest(), cancellationToken: TestGateway.Cancel);
        await GrpcAssert.FailsAsync(StatusCode.Unavailable, async () => await last.ResponseStream.MoveNext(TestGateway.Cancel));
        await health.CheckAsync(new HealthCheckRequest(), cancellationToken: TestGateway.Cancel);
        await gateway.CreateHttpClient().GetStringAsync(new Uri("livez", UriKind.Relative), TestGateway.Cancel);
        await (await gateway.CreateClientAsync()).ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel);
        foreach (AsyncServerStreamingCall<HealthCheckResponse> watch in watches) watch.Dispose();
    }

    /// <summary>A dry run is checked as any other submission, and counts for no quota of jobs.</summary>
    [Fact]
    public async Task DryRuns_HaveALimit()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(jobsPerMinute: 20));
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        SubmitRequest request = TestModels.Submit("echo", "same");
        request.DryRun = true;
        Error refused = await GrpcAssert.FailsAsync(StatusCode.ResourceExhausted, async () =>
        {
            for (int i = 0; i < 60; i++) await client.SubmitAsync(request, cancellationToken: TestGateway.Cancel);
        });
        Assert.Equal(ErrorCode.QuotaExceeded, refused.Code);
        Assert.StartsWith("Too many requests of this key", refused.Message, StringComparison.Ordinal);
        gateway.Time.Advance(TimeSpan.FromMinutes(1));
        await client.SubmitAsync(request, cancellationToken: TestGateway.Cancel);
    }

    [Fact]
    public async Task OneKey_HasOneTurn_ForWhatTakesLong()
    {
        using var limiter = new DecodingLimiter(new GatewayOptions());
        using var first = new RequestScope(limiter, "ada", 1 << 20);
        using var second = new RequestScope(limiter, "ada", 1 << 20);
        using var small = new RequestScope(limiter, "ada", 1 << 20);
        using var other = new RequestScope(limiter, "bob", 1 << 20);
        foreach (RequestScope scope in (RequestScope[])[first, second, other]) scope.OnMessageReceived(100_000);
        small.OnMessageReceived(1000);
        await first.TakeTurnIfLargeAsync(TestGateway.Cancel);
        Task waiting = second.TakeTurnIfLargeAsync(TestGateway.Cancel);
        await small.TakeTurnIfLargeAsync(TestGateway.Cancel);
        await other.TakeTurnIfLargeAsync(TestGateway.Cancel);
        Assert.False(waiting.IsCompleted);
        first.Release();
        await waiting;
    }

    [Fact]
    public async Task RefusedRequests_DoNotFillTheLog()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        HttpClient http = gateway.CreateHttpClient("ndif_wrong000_" + new string('a', 43));
        int requests = RequestLogLimiter.Burst;
        for (int i = 0; i < requests; i++)
            using (await http.GetAsync(new Uri($"v1/models/{new string('x', 2000)}", UriKind.Relative), TestGateway.Cancel)) { }
        string[] lines = [.. gateway.Log.Events.Where(line => LogCapture.GetEventId(line) is 3010 or 3011).Select(LogCapture.GetText)];
        Assert.InRange(lines.Length, 10, (2 * requests) - 1); // of two for each; more are added while the test runs
        Assert.All(lines, line => Assert.InRange(line.Length, 1, 1000));
        gateway.Time.Advance(TimeSpan.FromSeconds(10));
        using (await http.GetAsync(new Uri("v1/models", UriKind.Relative), TestGateway.Cancel)) { }
        await gateway.Log.WaitForAsync("lines about requests of callers without a valid key were left out");
    }
}
