using System.Diagnostics;
using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Protocol;
using Ndif.Queue;
using Estimate = Ndif.Benchmarks.Harness.Estimate;

namespace Ndif.Benchmarks.Groups.Service;

/// <summary>
/// The memory of a gateway with a thousand clients that watch queued jobs, each on its own connection, and 200 clients that submit one job
/// after the other on their own connections. The group also measures the time of the jobs with and without the watching clients.
/// </summary>
internal static class ManyWatchers
{
    private const string AbsentModel = "benchmarks/absent"; // a model that no worker has

    public static async Task<IReadOnlyList<Measurement>> Measure(RunSettings settings, CancellationToken cancellationToken)
    {
        int watchers = settings.IsQuick ? 200 : 1000, active = settings.IsQuick ? 40 : 200;
        TimeSpan time = TimeSpan.FromSeconds(settings.IsQuick ? 4 : 20);
        await using BenchmarkCluster service = await BenchmarkCluster.StartAsync();
        BenchmarkUser[] users = await Task.WhenAll(Enumerable.Range(0, active).Select(_ => service.NewUserAsync()));
        using Trace trace = new LanguageModel("ndif/tiny-landmarks").Trace("Big Ben is in the city of");
        trace.Result["logits"][.., ^1].Save();
        Protocol.Program program = trace.ToProgram();
        List<GrpcChannel> channels = [.. users.Select(_ => BenchmarkCluster.Connect(service.Address))];
        await SendAsync(TimeSpan.FromSeconds(2)); // warm-up
        double[] alone = await SendAsync(time);
        double before = ResidentMemory.Current(service.Gateway);

        using var stopWatching = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        await service.Backend.Workers.SetDescriptionAsync(new ModelDescription { Id = AbsentModel }, cancellationToken);
        int subscribed = 0;
        var allSubscribed = new TaskCompletionSource();
        List<Task> watching = [];
        for (int i = 0; i < watchers; i++)
        {
            BenchmarkUser user = users[i % users.Length];
            string id = $"idle-{i}";
            await service.Backend.Jobs.SubmitAsync(new JobSubmission(id, user.Id, AbsentModel, new byte[100]), cancellationToken);
            watching.Add(WatchAsync(user, id));
        }
        await allSubscribed.Task.WaitAsync(TimeSpan.FromMinutes(1), cancellationToken);
        double watched = ResidentMemory.Current(service.Gateway);
        ResidentMemory.ResetPeak(service.Gateway);
        double[] loaded = await SendAsync(time);
        double peak = ResidentMemory.Peak(service.Gateway);
        await stopWatching.CancelAsync();
        await Task.WhenAll(watching).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (GrpcChannel channel in channels) channel.Dispose();

        string rate =
            $"{active} clients alone: p50 {1e3 * Quantile(alone, 0.5):0.0} ms, p99 {1e3 * Quantile(alone, 0.99):0.0} ms, "
                + $"{alone.Length / time.TotalSeconds:0} jobs/s; with {watchers} watchers: p50 {1e3 * Quantile(loaded, 0.5):0.0} ms, "
                + $"p99 {1e3 * Quantile(loaded, 0.99):0.0} ms, {loaded.Length / time.TotalSeconds:0} jobs/s";
        return
        [
            new("service.load, memory of a watcher", (watched - before) / watchers / 1e3, "kB",
                $"the gateway's {before / 1e6:0} MB before and {watched / 1e6:0} MB with {watchers} idle watchers, each with its "
                    + "connection"),
            new("service.load, gateway's peak", peak / 1e6, "MB", $"{watched / 1e6:0} MB before the {active} clients send"),
            new("service.load, latency with watchers, p50", Quantile(loaded, 0.5) / Quantile(alone, 0.5), "x", rate, new Goal(1.25)),
            new("service.load, latency with watchers, p99", Quantile(loaded, 0.99) / Quantile(alone, 0.99), "x", rate),
            new("service.load, jobs", loaded.Length / time.TotalSeconds, "jobs/s", rate),
        ];

        // Each client submits its next job when the last has ended. Returns the seconds of each job from submission to end.
        async Task<double[]> SendAsync(TimeSpan duration)
        {
            long until = Stopwatch.GetTimestamp() + (long)(duration.TotalSeconds * Stopwatch.Frequency);
            List<double>[] took = await Task.WhenAll(users.Select((user, i) => Task.Run(async () =>
            {
                List<double> durations = [];
                var calls = new Inference.InferenceClient(channels[i]);
                while (Stopwatch.GetTimestamp() < until)
                {
                    long from = Stopwatch.GetTimestamp();
                    using AsyncDuplexStreamingCall<RunRequest, Event> run = calls.Run(user.Headers, cancellationToken: cancellationToken);
                    await run.RequestStream.WriteAsync(new RunRequest { Submit = new SubmitRequest { Program = program } },
                        cancellationToken);
                    JobState last = JobState.Unspecified;
                    while (last is not JobState.Completed && await run.ResponseStream.MoveNext(cancellationToken))
                        last = run.ResponseStream.Current.State?.State ?? last;
                    if (last is not JobState.Completed) throw new InvalidOperationException($"A job ended as {last}.");
                    await run.RequestStream.CompleteAsync();
                    durations.Add(Stopwatch.GetElapsedTime(from).TotalSeconds);
                }
                return durations;
            }, cancellationToken)));
            return [.. took.SelectMany(durations => durations).Order()];
        }

        async Task WatchAsync(BenchmarkUser user, string id)
        {
            using GrpcChannel channel = BenchmarkCluster.Connect(service.Address);
            using AsyncServerStreamingCall<Event> watch = new Inference.InferenceClient(channel)
                .Watch(new WatchRequest { JobId = id }, user.Headers, cancellationToken: stopWatching.Token);
            for (int events = 0; await watch.ResponseStream.MoveNext(stopWatching.Token); events++)
                if (events == 1 && Interlocked.Increment(ref subscribed) == watchers) allSubscribed.SetResult(); // RECEIVED, QUEUED
        }
    }

    private static double Quantile(double[] sorted, double part) => Estimate.Quantile(sorted, part);
}
