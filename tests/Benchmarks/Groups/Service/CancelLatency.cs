using System.Diagnostics;
using Grpc.Net.Client;
using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Protocol;
using Estimate = Ndif.Benchmarks.Harness.Estimate;

namespace Ndif.Benchmarks.Groups.Service;

/// <summary>
/// A job runs on GPT-2-small, and another one waits for the worker. The first is cancelled at a random time of its run. The figure is the
/// time until the client receives the event that the other job runs, which shows that the worker was free.
/// </summary>
internal static class CancelLatency
{
    /// <summary>A job that runs until it is cancelled.</summary>
    public static Task<IReadOnlyList<Measurement>> OfGeneration(RunSettings settings, CancellationToken cancellationToken) =>
        MeasureAsync("a generation", (llm, _) => Generation(llm), endsByItself: false, settings, cancellationToken);

    /// <summary>A single forward pass over a batch.</summary>
    public static Task<IReadOnlyList<Measurement>> OfBatch(RunSettings settings, CancellationToken cancellationToken) =>
        MeasureAsync("8 rows of 128 tokens", (llm, run) => Saving(llm, 8, 128, run), endsByItself: true, settings, cancellationToken);

    /// <summary>A single forward pass over a full context.</summary>
    public static Task<IReadOnlyList<Measurement>> OfLongRow(RunSettings settings, CancellationToken cancellationToken) =>
        MeasureAsync("a row of 1024 tokens", (llm, run) => Saving(llm, 1, 1024, run), endsByItself: true, settings, cancellationToken);

    /// <param name="record">The job of each run; its prompts differ from those of earlier runs, whose layers are kept.</param>
    private static async Task<IReadOnlyList<Measurement>> MeasureAsync(
        string name, Func<LanguageModel, int, Protocol.Program> record, bool endsByItself, RunSettings settings,
        CancellationToken cancellationToken)
    {
        string folder = GPT2Checkpoint.Small.Folder();
        await using BenchmarkCluster service = await BenchmarkCluster.StartAsync(folder, gateway: true, "--max-batch", "1");
        BenchmarkUser user = await service.NewUserAsync();
        using GrpcChannel channel = BenchmarkCluster.Connect(service.Address);
        var calls = new Inference.InferenceClient(channel);
        var llm = new LanguageModel(folder);
        Protocol.Program next = Saving(llm, 1, 4, run: 0);

        // The job is cancelled at a random time of its run, so the duration of a run is measured first.
        TimeSpan length = TimeSpan.FromSeconds(1);
        if (endsByItself)
        {
            JobInfo completed = await calls.RunJobAsync(user, record(llm, 0), cancellationToken);
            length = (completed.Ended - completed.Started).ToTimeSpan();
        }
        var random = new Random(1);
        List<double> latencies = [];
        for (int i = 0; latencies.Count < settings.RoundCount(30) && i < 200; i++)
        {
            TimeSpan delay = length * (0.05 + 0.8 * random.NextDouble());
            if (await CancelOnceAsync(calls, user, record(llm, i + 1), next, delay, cancellationToken) is { } seconds)
                latencies.Add(seconds);
        }
        if (latencies.Count == 0) throw new InvalidOperationException($"{name}: every job ended before it could be cancelled.");
        double[] sorted = [.. latencies.Order()];
        string duration = endsByItself ? $"{length.TotalMilliseconds:0} ms" : "minutes";
        return
        [
            new($"service.cancel, {name}, p95", 1e3 * Estimate.Quantile(sorted, 0.95), "ms",
                $"from the cancel call to the event that the next job runs; p50 {1e3 * Estimate.Quantile(sorted, 0.5):0.0} ms, max "
                + $"{1e3 * sorted[^1]:0.0} ms, {sorted.Length} cancels; the job takes {duration}",
                new Goal(250)),
        ];
    }

    /// <summary>Seconds from the cancel to the next job's start; null if the job had ended before.</summary>
    private static async Task<double?> CancelOnceAsync(
        Inference.InferenceClient calls, BenchmarkUser user, Protocol.Program program, Protocol.Program next, TimeSpan after,
        CancellationToken cancellationToken)
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

    private static Protocol.Program Saving(LanguageModel llm, int rows, int tokens, int run)
    {
        long[] prompt = GPT2Checkpoint.Small.Prompt(tokens);
        prompt[0] = run;
        using Trace trace = llm.Trace(Enumerable.Range(0, rows).Select(_ => prompt).ToArray());
        llm.Logits[.., ^1].Save();
        return trace.ToProgram();
    }
}
