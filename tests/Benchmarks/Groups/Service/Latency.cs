using System.Diagnostics;
using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Protocol;
using Estimate = Ndif.Benchmarks.Harness.Estimate;

namespace Ndif.Benchmarks.Groups.Service;

/// <summary>
/// The time of a trace that saves one layer on an idle service of separate processes. The baseline is the same trace in this process. The
/// group also measures the time from the submission until the client is notified that the job runs.
/// </summary>
internal static class Latency
{
    private const string Prompt = "The Eiffel Tower is in the city of";

    public static async Task<IReadOnlyList<Measurement>> Measure(RunSettings settings, CancellationToken cancellationToken)
    {
        await using BenchmarkCluster service = await BenchmarkCluster.StartAsync();
        // The users submit in turn, because each key has a rate limit.
        BenchmarkUser[] users = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => service.NewUserAsync()));
        Backend[] remotes = [.. users.Select(user => Backend.At(service.Address.ToString(), user.Key))];
        var llm = new LanguageModel("ndif/tiny-landmarks", remote: remotes[0]);
        using GrpcChannel channel = BenchmarkCluster.Connect(service.Address);
        var calls = new Inference.InferenceClient(channel);
        using Trace trace = llm.Trace(Prompt);
        llm.Layers[^1].Hidden.Save();
        Protocol.Program program = trace.ToProgram();

        int turn = 0;
        List<double> starts = [];
        InterleavedTimings times = await InterleavedTimings.MeasureAsync(settings.RoundCount(2000), warmup: 200, cancellationToken,
            () => TraceAsync(remotes[turn++ % remotes.Length]), () => TraceAsync(Backend.Local),
            async () => starts.Add(await StartAsync(calls, users[turn++ % users.Length], program, cancellationToken)),
            async () =>
            await calls.GetCapabilitiesAsync(new GetCapabilitiesRequest(), users[0].Headers, cancellationToken: cancellationToken));
        double local = times.Quantile(1, 0.5);
        double[] sorted = [.. starts.TakeLast(settings.RoundCount(2000)).Order()];
        string call =
            $"an empty gRPC call with its key: p50 {1e3 * times.Quantile(3, 0.5):0.00} ms, p99 {1e3 * times.Quantile(3, 0.99):0.00} "
                + "ms";
        return
        [
            new("service.latency, submit to start, p50", 1e3 * Estimate.Quantile(sorted, 0.5), "ms", $"heard by the client; {call}",
                new Goal(2)),
            new("service.latency, submit to start, p99", 1e3 * Estimate.Quantile(sorted, 0.99), "ms", $"heard by the client; {call}"),
            new("service.latency, remote less local, p50", 1e3 * (times.Quantile(0, 0.5) - local), "ms",
                $"the same trace in process, p50 {1e3 * local:0.00} ms (quietest quarter: {1e3 * times.Difference(0, 1).Median:0.00} ms)",
                new Goal(5)),
            new("service.latency, remote less local, p99", 1e3 * (times.Quantile(0, 0.99) - local), "ms",
                $"the same trace in process, p50 {1e3 * local:0.00} ms, p99 {1e3 * times.Quantile(1, 0.99):0.00} ms", new Goal(20)),
        ];

        Task<Saved> TraceAsync(Backend where) =>
            llm.TraceAsync(Prompt, _ => llm.Layers[^1].Hidden.Save(), where, cancellationToken: cancellationToken);
    }

    /// <summary>Follows a job to its end and returns the seconds from its submission to the notification that it runs.</summary>
    private static async Task<double> StartAsync(Inference.InferenceClient calls, BenchmarkUser user, Protocol.Program program,
        CancellationToken cancellationToken)
    {
        using AsyncDuplexStreamingCall<RunRequest, Event> run = calls.Run(user.Headers, cancellationToken: cancellationToken);
        long from = Stopwatch.GetTimestamp();
        double started = 0;
        await run.RequestStream.WriteAsync(new RunRequest { Submit = new SubmitRequest { Program = program } }, cancellationToken);
        await foreach (Event jobEvent in run.ResponseStream.ReadAllAsync(cancellationToken))
        {
            if (jobEvent.State?.State is JobState.Running) started = Stopwatch.GetElapsedTime(from).TotalSeconds;
            if (jobEvent.State?.State is JobState.Failed) throw new InvalidOperationException(jobEvent.State.Error.Message);
            if (jobEvent.State?.State is JobState.Completed) break;
        }
        await run.RequestStream.CompleteAsync();
        return started;
    }
}
