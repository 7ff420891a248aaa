using System.Collections.Concurrent;
using System.Net;
using System.Text;

namespace Ndif.EndToEnd.Tests;

public sealed class TelemetryTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    /// <summary>
    /// The phases are measured by different processes and Redis in milliseconds, so the job takes about a hundred milliseconds.
    /// </summary>
    [Fact]
    public async Task ThePhases_AddUpToTheClientsTime_AndAreInTheJobsInfo()
    {
        List<double> parts = [];
        for (int i = 0; i < 9; i++)
        {
            using RecordedExperiment recorded = Experiments.Record("slow:40", Cluster.Remote);
            await recorded.RunAsync(Cancel);
            RunTimings timings = recorded.Trace.Timings!;
            Output.WriteLine(timings.ToString());
            parts.Add(timings.Phases.Sum(phase => phase.Time.TotalSeconds) / timings.Total.TotalSeconds);
        }
        parts.Sort();
        Assert.InRange(parts[parts.Count / 2], 0.95, 1.05);

        Job job;
        using (RecordedExperiment recorded = Experiments.Record("states", Cluster.Remote)) job = await recorded.Trace.SubmitAsync(Cancel);
        await job.WaitAsync(Cancel);
        Assert.Equal(["queue", "load", "wait", "compile", "run", "save", "end"],
            (await job.GetAsync(Cancel)).Usage.Phases.Select(phase => phase.Name));
        await using ChildProcess show = Cluster.StartTool("jobs", "show", job.Id, "--host", Cluster.Grpc.ToString(), "--key", Cluster.Key);
        Assert.Matches(
            @"time +queue [\d.]+ ms, load [\d.]+ ms, wait [\d.]+ ms, compile [\d.]+ ms, run [\d.]+ ms, save [\d.]+ ms, end [\d.]+ ms",
            await show.WaitForLineAsync(line => line.Contains(" time ", StringComparison.Ordinal)));
    }

    /// <summary>
    /// An OpenTelemetry collector receives the spans of gateway, queue and worker, and the Prometheus endpoint has the phases.
    /// </summary>
    [Fact]
    public async Task Spans_GoToTheCollector_ThatTheEnvironmentNames_AndPhasesToPrometheus()
    {
        using var collector = new HttpListener();
        string address = $"http://127.0.0.1:{FreePort.Find()}/";
        collector.Prefixes.Add(address);
        collector.Start();
        ConcurrentQueue<(string Path, string Body)> told = [];
        Task collecting = CollectAsync(collector, told);

        await using ChildProcess up =
            ChildProcess.Start("ndif up", BuildOutput.Dotnet,
                [BuildOutput.Tool, "up", "--port", "0", "--http-port", "0", "--data", Path.Combine(Cluster.DataFolder, "observed")],
            ("XDG_CONFIG_HOME", Cluster.DataFolder), ("OTEL_EXPORTER_OTLP_ENDPOINT", address),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"), ("OTEL_SERVICE_NAME", "observed-service"));
        string host = (await up.WaitForLineAsync(line => line.Contains("export NDIF_HOST=", StringComparison.Ordinal), "its address"))
            .Split('=')[1];
        string key = (await up.WaitForLineAsync(line => line.Contains("export NDIF_API_KEY=", StringComparison.Ordinal), "a key"))
            .Split('=')[1].Split(' ')[0];
        using (RecordedExperiment recorded = Experiments.Record("generate:12", Backend.At(host, key))) await recorded.RunAsync(Cancel);
        string web =
            (await up.WaitForLineAsync(line => line.Contains("http://", StringComparison.Ordinal)
                && !line.Contains(host, StringComparison.Ordinal), "its page")).Split(' ')
                .Single(word => word.StartsWith("http://", StringComparison.Ordinal));
        using var http = new HttpClient();
        string metrics = await http.GetStringAsync(new Uri(new Uri(web), "/metrics"), Cancel);
        foreach (string phase in (string[])["queue", "load", "wait", "compile", "run", "save", "end"])
            Assert.Contains(metrics.Split('\n'), line => line.Contains("job_phase_seconds_count", StringComparison.Ordinal)
                && line.Contains($"phase=\"{phase}\"", StringComparison.Ordinal) && line.EndsWith(" 1", StringComparison.Ordinal));

        Assert.Equal(0, await up.TerminateAsync()); // the service exports the remaining spans when it stops
        collector.Stop();
        await collecting;
        string spans = string.Concat(told.Where(one => one.Path == "/v1/traces").Select(one => one.Body));
        foreach (string word in (string[])["observed-service", "Ndif.Server", "Ndif.Queue", "Ndif.Worker", "queue submit", "compile",
            "ndif.job"]) Assert.Contains(word, spans, StringComparison.Ordinal);
        Assert.Contains(told, one => one.Path == "/v1/metrics" && one.Body.Contains("ndif.job.phase_seconds", StringComparison.Ordinal));
        Assert.DoesNotContain(key, spans, StringComparison.Ordinal);
    }

    /// <summary>Stores the protobuf bodies as Latin-1 text, in which the strings can be searched.</summary>
    private static async Task CollectAsync(HttpListener collector, ConcurrentQueue<(string, string)> received)
    {
        try
        {
            while (true)
            {
                HttpListenerContext call = await collector.GetContextAsync();
                using var body = new MemoryStream();
                await call.Request.InputStream.CopyToAsync(body);
                received.Enqueue((call.Request.Url!.AbsolutePath, Encoding.Latin1.GetString(body.ToArray())));
                call.Response.Close();
            }
        }
        catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
        {
            // the collector was stopped
        }
    }
}
