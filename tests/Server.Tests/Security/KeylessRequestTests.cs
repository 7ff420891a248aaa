using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using Grpc.Core;
using Grpc.Health.V1;
using Grpc.Reflection.V1Alpha;
using Ndif.Protocol;
using Ndif.Server.Grpc;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Security;

/// <summary>
/// Requests without a valid key have a rate. Above it they wait, and beyond a number that waits they are refused; probes and requests with
/// a key are answered.
/// </summary>
public sealed class KeylessRequestTests
{
    private const int PerSecond = 10, Waiting = PerSecond * KeylessRequestLimiter.MaxWaitSeconds;

    /// <summary>Less than most of the flood waits, and more than a loaded machine needs.</summary>
    private static CancellationToken Soon => new CancellationTokenSource(TimeSpan.FromSeconds(3)).Token;

    [Fact]
    public async Task AFlood_Waits_AndIsThenRefused_WhileProbesAndKeysAreAnswered()
    {
        await using TestGateway gateway = await StartAsync();
        Inference.InferenceClient user = await gateway.CreateClientAsync();
        HttpClient http = gateway.CreateHttpClient();
        Task<HttpResponseMessage>[] flood = await FloodAsync(http, "/status");

        foreach (string probe in (string[])["/livez", "/healthz", "/readyz"])
            Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(probe, Soon)).StatusCode);
        var health = new Health.HealthClient(gateway.CreateInvoker(key: null));
        await health.CheckAsync(new HealthCheckRequest(), cancellationToken: Soon);
        await user.ListJobsAsync(new ListJobsRequest(), cancellationToken: Soon);

        HttpResponseMessage[] answers = await Task.WhenAll(flood);
        HttpResponseMessage[] refused = [.. answers.Where(answer => answer.StatusCode != HttpStatusCode.OK)];
        Assert.InRange(refused.Length, 1, flood.Length - PerSecond - Waiting);
        Assert.All(refused, answer => Assert.Equal(HttpStatusCode.TooManyRequests, answer.StatusCode));
        Assert.Equal(TimeSpan.FromSeconds(KeylessRequestLimiter.MaxWaitSeconds), refused[0].Headers.RetryAfter!.Delta);
        ErrorJson error = (await refused[0].Content.ReadFromJsonAsync<ErrorJson>(TestGateway.Cancel))!;
        Assert.Equal("QUOTA_EXCEEDED", error.Code);
        Assert.Contains($"{PerSecond} requests a second", error.Message, StringComparison.Ordinal);
        foreach (HttpResponseMessage answer in answers) answer.Dispose();
    }

    [Fact]
    public async Task WrongAndMissingKeys_Wait_AndRightOnesDoNot()
    {
        await using TestGateway gateway = await StartAsync();
        CreatedKey key = await gateway.CreateKeyAsync();
        Inference.InferenceClient user = gateway.CreateClient(key.Key.Reveal()), missing = gateway.CreateClient(key: null),
            wrong = gateway.CreateClient(ApiKey.New().Reveal());
        long start = Stopwatch.GetTimestamp();
        Task<RpcException>[] attempts = [.. Enumerable.Range(0, 3 * PerSecond).Select(i => Assert.ThrowsAsync<RpcException>(async () =>
            await (i % 2 == 0 ? wrong : missing).ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel)))];
        await user.ListJobsAsync(new ListJobsRequest(), cancellationToken: TestGateway.Cancel);
        Assert.Contains(attempts, attempt => !attempt.IsCompleted);

        Assert.All(await Task.WhenAll(attempts), failure => Assert.Equal(StatusCode.Unauthenticated, failure.StatusCode));
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 1.5, 30); // the first second's at once, and then two seconds'
    }

    [Fact]
    public async Task Reflection_IsRefusedAsAnyOther_WhileTooManyWait()
    {
        await using TestGateway gateway = await StartAsync();
        HttpClient http = gateway.CreateHttpClient();
        Task<HttpResponseMessage>[] flood = await FloodAsync(http, "/metrics");
        var reflection = new ServerReflection.ServerReflectionClient(gateway.CreateInvoker(key: null));
        // several, because a place among those that wait becomes free every 0.1 seconds
        AsyncDuplexStreamingCall<ServerReflectionRequest, ServerReflectionResponse>[] calls =
            [.. Enumerable.Range(0, 40).Select(_ => reflection.ServerReflectionInfo(cancellationToken: TestGateway.Cancel))];
        Error refused = await GrpcAssert.FailsAsync(StatusCode.ResourceExhausted, async () =>
            await await Task.WhenAny(calls.Select(call => call.ResponseStream.MoveNext(TestGateway.Cancel))));
        Assert.Equal(ErrorCode.QuotaExceeded, refused.Code);
        foreach (AsyncDuplexStreamingCall<ServerReflectionRequest, ServerReflectionResponse> call in calls) call.Dispose();
        foreach (HttpResponseMessage answer in await Task.WhenAll(flood)) answer.Dispose();
    }

    /// <summary>Sends more requests at once than are answered and wait, and returns when the first is refused.</summary>
    private static async Task<Task<HttpResponseMessage>[]> FloodAsync(HttpClient http, string path)
    {
        Task<HttpResponseMessage>[] flood =
            [.. Enumerable.Range(0, PerSecond + Waiting + 40).Select(_ => http.GetAsync(path, TestGateway.Cancel))];
        await foreach (Task<HttpResponseMessage> answered in Task.WhenEach(flood))
            if ((await answered).StatusCode == HttpStatusCode.TooManyRequests) break;
        return flood;
    }

    private static Task<TestGateway> StartAsync() => TestGateway.StartAsync(TestGateway.CreateOptions(keylessRequestsPerSecond: PerSecond));
}
