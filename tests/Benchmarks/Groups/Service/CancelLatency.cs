using System.Diagnostics;
using Grpc.Net.Client;
using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Protocol;
using static System.FormattableString;
using Estimate = Ndif.Benchmarks.Harness.Estimate;

namespace Ndif.Benchmarks.Groups.Service;

/// <summary>
/// The time from the cancellation of a running job until the client is notified that the next job runs, which means that the worker was
/// free. The first job runs on GPT-2-small and is cancelled at a random time of its run, while the second job is in the queue.
/// </summary>
internal static class CancelLatency
{
    public static async Task<IReadOnlyList<Measurement>> Measure(RunSettings pace, CancellationToken cancellationToken)
    {
        string folder = GPT2Checkpoint.Small.Folder();
        await using BenchmarkCluster service = await BenchmarkCluster.StartAsync(folder, gateway: true, "--max-batch", "1");
        BenchmarkUser user = await service.NewUserAsync();
        using GrpcChannel channel = BenchmarkCluster.Connect(service.Address);
        var calls = new Inference.InferenceClient(channel);
        var llm = new LanguageModel(folder);
        Protocol.Program next = Saving(llm, 1, 4);
        (string Name, Protocol.Program Program)[] kinds =
        [
            ("a generation", Generation(llm)),
            ("8 rows of 128 tokens", Saving(llm, 8, 128)),
            ("a row of 1024 tokens", Saving(llm, 1, 1024)),
        ];

        List<Measurement> figures = [];
        foreach (var (name, program) in kinds)
        {
            // The length of the run is measured first, so that the job can be cancelled at any time of it.
            long began = Stopwatch.GetTimestamp();
            TimeSpan length = TimeSpan.FromSeconds(1);
            if (name != kinds[0].Name)
            {
                JobInfo alone = await calls.RunJobAsync(user, program, cancellationToken);
                length = (alone.Ended - alone.Started).ToTimeSpan();
            }
            var chance = new Random(1);
            List<double> free = [];
            for (int i = 0; free.Count < pace.RoundCount(30) && i < 200; i++)
                if (await CancelOnceAsync(calls, user, program, next, length * (0.05 + 0.8 * chance.NextDouble()), cancellationToken) is { } seconds) free.Add(seconds);
            if (free.Count == 0) throw new InvalidOperationException($"{name}: every job ended before it could be cancelled.");
            double[] sorted = [.. free.Order()];
            figures.Add(new($"service.cancel, {name}, p95", 1e3 * Estimate.Quantile(sorted, 0.95), "ms", Invariant(
                $"from the cancel call to the news that the next job runs; p50 {1e3 * Estimate.Quantile(sorted, 0.5):0.0} ms, max {1e3 * sorted[^1]:0.0} ms, {sorted.Length} cancels; the job takes {(name == kinds[0].Name ? "minutes" : Invariant($"{1e3 * length.TotalMilliseconds / 1e3:0} ms"))}"),
                new Goal(250)));
        }
        return figures;
    }

    /// <summary>Returns the seconds from the cancellation to the start of the next job, or null if the job had already ended.</summary>
    private static async Task<double?> CancelOnceAsync(
        Inference.InferenceClient calls, BenchmarkUser user, Protocol.Program program, Protocol.Program next, TimeSpan after, CancellationToken cancellationToken)
    {
        string first = await calls.SubmitJobAsync(user, program, cancellationToken);
        await calls.WaitForStateAsync(user, first, JobState.Running, cancellationToken);
        string second = await calls.SubmitJobAsync(user, next, cancellationToken);
        Task<Event> running = calls.WaitForStateAsync(user, second, JobState.Running, cancellationToken);
        await Task.Delay(after, cancellationToken);
        long from = Stopwatch.GetTimestamp();
        JobInfo info = await calls.CancelAsync(new CancelRequest { JobId = first }, user.Headers, cancellationToken: cancellationToken);
        await running;
        double took = Stopwatch.GetElapsedTime(from).TotalSeconds;
        await calls.WaitForStateAsync(user, second, JobState.Completed, cancellationToken);
        return info.State == JobState.Cancelled ? took : null;
    }

    private static Protocol.Program Generation(LanguageModel llm)
    {
        using Trace trace = llm.Generate(GPT2Checkpoint.Small.Prompt(16), 1000, new() { IgnoreEos = true });
        trace.Result.Save();
        return trace.ToProgram();
    }

    private static Protocol.Program Saving(LanguageModel llm, int rows, int tokens)
    {
        long[] prompt = GPT2Checkpoint.Small.Prompt(tokens);
        using Trace trace = llm.Trace(Enumerable.Range(0, rows).Select(_ => prompt).ToArray());
        llm.Logits[.., ^1].Save();
        return trace.ToProgram();
    }
}
