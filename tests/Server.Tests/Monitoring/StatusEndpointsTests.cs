using System.Diagnostics;
using System.Net;
using System.Text.Json;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Monitoring;

/// <summary>The public endpoints: /status, the dashboard, /metrics, /healthz.</summary>
public sealed class StatusEndpointsTests
{
    [Fact]
    public async Task Status_HasItsDocumentedShape_AndNeedsNoKey()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await (await gateway.CreateClientAsync()).SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);
        using HttpResponseMessage response = await gateway.CreateHttpClient().GetAsync("/status", TestGateway.Cancel);
        using JsonDocument json = JsonDocument.Parse(await response.Content.ReadAsStreamAsync(TestGateway.Cancel));
        JsonElement status = json.RootElement;

        Assert.Equal(["version", "started", "uptimeSeconds", "queue", "models", "workers", "problems", "storage"], Names(status));
        Assert.Equal(["waiting", "running", "completed", "failed", "cancelled", "timedOut"], Names(status.GetProperty("queue")));
        Assert.Equal(1, status.GetProperty("queue").GetProperty("waiting").GetInt32());
        JsonElement model = Assert.Single(status.GetProperty("models").EnumerateArray());
        Assert.Equal(
            ["id", "revision", "architecture", "heat", "dtype", "parameters", "bytes", "replicas", "waiting", "running", "pinned", "wanted",
            "loading", "error", "task"], Names(model));
        Assert.Equal("hot", model.GetProperty("heat").GetString());
        Assert.Equal("float32", model.GetProperty("dtype").GetString());
        Assert.Equal(124_439_808, model.GetProperty("parameters").GetInt64());
        JsonElement worker = Assert.Single(status.GetProperty("workers").EnumerateArray());
        Assert.Equal(["id", "device", "memoryBytes", "models", "running", "started", "seen", "version", "budgetBytes", "weightBytes",
            "warm", "draining"], Names(worker));
        Assert.Equal(1, worker.GetProperty("running").GetInt32());
        Assert.DoesNotContain("secret-job-id", json.RootElement.GetRawText(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Status_MayBeReadByAnyPage()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using var request = new HttpRequestMessage(HttpMethod.Get, "/status") { Headers = { { "Origin", "https://lab.example" } } };
        using HttpResponseMessage response = await gateway.CreateHttpClient().SendAsync(request, TestGateway.Cancel);
        Assert.Equal(["*"], response.Headers.GetValues("Access-Control-Allow-Origin"));
    }

    [Fact]
    public async Task ModelThatNobodyServes_IsShown_WhileJobsWaitForIt()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await gateway.Backend.Workers.UnregisterAsync("worker-1", TestGateway.Cancel);
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        await client.SubmitAsync(TestModels.Submit("echo"), cancellationToken: TestGateway.Cancel);

        string json = await gateway.CreateHttpClient().GetStringAsync("/status", TestGateway.Cancel);

        Assert.Contains("\"heat\":\"none\"", json, StringComparison.Ordinal);
        Assert.Empty((await client.ListModelsAsync(new ListModelsRequest(), cancellationToken: TestGateway.Cancel)).Models);
    }

    [Fact]
    public async Task Dashboard_IsOnePage_ThatLoadsNothingFromElsewhere()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using HttpResponseMessage response = await gateway.CreateHttpClient().GetAsync("/", TestGateway.Cancel);
        string page = await response.Content.ReadAsStringAsync(TestGateway.Cancel);

        Assert.Equal("text/html", response.Content.Headers.ContentType!.MediaType);
        Assert.Contains("default-src 'none'", response.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
        Assert.Contains("<html lang=\"en\">", page, StringComparison.Ordinal);
        Assert.Contains("prefers-color-scheme: dark", page, StringComparison.Ordinal);
        Assert.DoesNotMatch("(src|href)=[\"'](https?:)?//", page);
    }

    [Fact]
    public async Task Metrics_CountJobs_ByOutcome()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        await using FakeWorker worker = gateway.StartWorker();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        foreach (string role in (string[])["echo", "fail"])
        {
            using var call = client.Run(cancellationToken: TestGateway.Cancel);
            await call.RequestStream.WriteAsync(TestModels.Run(role), TestGateway.Cancel);
            await GrpcAssert.ReadAllAsync(call.ResponseStream);
        }
        string metrics = await gateway.CreateHttpClient().GetStringAsync("/metrics", TestGateway.Cancel);

        Assert.Contains("ndif_jobs_total{outcome=\"completed\"} 1", metrics, StringComparison.Ordinal);
        Assert.Contains("ndif_jobs_total{outcome=\"failed\"} 1", metrics, StringComparison.Ordinal);
        Assert.Contains($"ndif_queue_waiting{{model=\"{TestGateway.Model}\"}} 0", metrics, StringComparison.Ordinal);
        foreach (string name in (string[])["ndif_server_request_seconds_bucket", "ndif_server_events", "ndif_server_event_bytes",
            "ndif_server_submissions", "ndif_workers 1"])
            Assert.Contains(name, metrics, StringComparison.Ordinal);
        Assert.Contains("ndif_jobs_total{outcome=\"cancelled\"} 0", metrics, StringComparison.Ordinal);
        Assert.Contains("ndif_disk_free_bytes{folder=\"blobs\"} ", metrics, StringComparison.Ordinal);
        Assert.Matches("ndif_stored_bytes\\{kind=\"queue\"\\} [1-9]", metrics);
    }

    /// <summary>Each text counts the requests before it, so that two that were produced separately differ.</summary>
    [Fact]
    public async Task Metrics_AreProducedOnce_ForTheRequestsOfAShortTime()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        HttpClient http = gateway.CreateHttpClient();
        await http.GetStringAsync("/metrics", TestGateway.Cancel); // compiles
        long start = Stopwatch.GetTimestamp();
        List<string> texts = [];
        for (int i = 0; i < 10; i++)
            texts.AddRange(await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => http.GetStringAsync("/metrics", TestGateway.Cancel))));
        int periods = (int)(Stopwatch.GetElapsedTime(start) / TimeSpan.FromMilliseconds(300));
        Assert.InRange(texts.Distinct(StringComparer.Ordinal).Count(), 1, periods + 2);

        await Task.Delay(400, TestGateway.Cancel);
        Assert.DoesNotContain(await http.GetStringAsync("/metrics", TestGateway.Cancel), texts);
    }

    [Fact]
    public async Task Metrics_AnswerWhileRedisCannotBeReached_AndSayIt()
    {
        await using QueueBackend unreachable = QueueBackend.Redis(
            "127.0.0.1:9,connectTimeout=200,syncTimeout=200,asyncTimeout=200", blobs: new BlobOptions { Root = Path.GetTempPath() });
        await using TestGateway gateway = await TestGateway.StartAsync(configure: _ => unreachable);
        string metrics = await gateway.CreateHttpClient().GetStringAsync("/metrics", TestGateway.Cancel);
        Assert.Contains("ndif_redis_connected 0", metrics, StringComparison.Ordinal);
        Assert.Contains("process_cpu_seconds_total", metrics, StringComparison.Ordinal);
        foreach (string name in (string[])["ndif_workers ", "ndif_queue_waiting{", "ndif_redis_used_memory_bytes "])
            Assert.DoesNotContain('\n' + name, metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Healthz_Answers()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        using HttpResponseMessage response = await gateway.CreateHttpClient().GetAsync("/healthz", TestGateway.Cancel);
        Assert.Equal((HttpStatusCode.OK, "Healthy"), (response.StatusCode, await response.Content.ReadAsStringAsync(TestGateway.Cancel)));
    }

    private static IEnumerable<string> Names(JsonElement element) => element.EnumerateObject().Select(property => property.Name);
}
