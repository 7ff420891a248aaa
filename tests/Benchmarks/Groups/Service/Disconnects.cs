using System.Diagnostics;
using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Protocol;
using Estimate = Ndif.Benchmarks.Harness.Estimate;

namespace Ndif.Benchmarks.Groups.Service;

/// <summary>
/// The fraction of tries in which a broken connection has the specified effect on the running job: the job of a blocking client must be
/// cancelled, and a submitted job must continue.
/// </summary>
internal static class Disconnects
{
    public static async Task<IReadOnlyList<Measurement>> Measure(RunSettings settings, CancellationToken cancellationToken)
    {
        await using BenchmarkCluster service = await BenchmarkCluster.StartAsync();
        BenchmarkUser user = await service.NewUserAsync();
        using GrpcChannel channel = BenchmarkCluster.Connect(service.Address);
        var calls = new Inference.InferenceClient(channel);
        var llm = new LanguageModel("ndif/tiny-landmarks");
        Protocol.Program blocking = Generation(llm, 110, repeats: 60), submitted = Generation(llm, 110, repeats: 2);
        int tries = settings.RoundCount(30), cancelled = 0, completed = 0;
        List<double> times = [];
        for (int i = 0; i < tries; i++)
        {
            string id = await DisconnectAsync(service.Address, run: true, user, blocking, cancellationToken);
            long from = Stopwatch.GetTimestamp();
            if (await FinalStateAsync(calls, user, id, cancellationToken) is JobState.Cancelled) cancelled++;
            times.Add(Stopwatch.GetElapsedTime(from).TotalSeconds);

            id = await DisconnectAsync(service.Address, run: false, user, submitted, cancellationToken);
            if (await FinalStateAsync(calls, user, id, cancellationToken) is JobState.Completed) completed++;
        }
        double[] sorted = [.. times.Order()];
        return
        [
            new("service.disconnect, blocking, cancelled", (double)cancelled / tries, "of the jobs",
                $"{tries} connections broken while the job ran; it was cancelled after {1e3 * Estimate.Quantile(sorted, 0.5):0.0} ms "
                + $"(p50), {1e3 * sorted[^1]:0.0} ms (max)", Goal.AtLeast(1)),
            new("service.disconnect, submitted, completed", (double)completed / tries, "of the jobs",
                $"{tries} connections broken while the job ran", Goal.AtLeast(1)),
        ];
    }

    /// <summary>Starts a job, breaks the connection as soon as the job runs, and returns the id of the job.</summary>
    private static async Task<string> DisconnectAsync(Uri address, bool run, BenchmarkUser user, Protocol.Program program,
        CancellationToken cancellationToken)
    {
        using GrpcChannel channel = BenchmarkCluster.Connect(address); // disposing closes the sockets without ending the call
        var calls = new Inference.InferenceClient(channel);
        string id = Guid.NewGuid().ToString("N");
        var submission = new SubmitRequest { Program = program, JobId = id };
        if (!run)
        {
            await calls.SubmitAsync(submission, user.Headers, cancellationToken: cancellationToken);
            await calls.WaitForStateAsync(user, id, JobState.Running, cancellationToken);
            return id;
        }
        AsyncDuplexStreamingCall<RunRequest, Event> call = calls.Run(user.Headers, cancellationToken: cancellationToken);
        await call.RequestStream.WriteAsync(new RunRequest { Submit = submission }, cancellationToken);
        while (await call.ResponseStream.MoveNext(cancellationToken))
            if (call.ResponseStream.Current.State?.State is JobState.Running) break;
        return id;
    }

    private static async Task<JobState> FinalStateAsync(Inference.InferenceClient calls, BenchmarkUser user, string id,
        CancellationToken cancellationToken)
    {
        using AsyncServerStreamingCall<Event> watch =
            calls.Watch(new WatchRequest { JobId = id }, user.Headers, cancellationToken: cancellationToken);
        JobState last = JobState.Unspecified;
        await foreach (Event jobEvent in watch.ResponseStream.ReadAllAsync(cancellationToken)) last = jobEvent.State?.State ?? last;
        return last;
    }

    private static Protocol.Program Generation(LanguageModel llm, int tokens, int repeats)
    {
        using Session session = llm.Session();
        for (int i = 0; i < repeats; i++)
            using (Trace trace = llm.Generate("Big Ben is in the city of", tokens, new() { IgnoreEos = true })) trace.Result.Save();
        return session.ToProgram();
    }
}
