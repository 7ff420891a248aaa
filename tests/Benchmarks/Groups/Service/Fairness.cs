using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Protocol;
using Ndif.Server;
using Estimate = Ndif.Benchmarks.Harness.Estimate;

namespace Ndif.Benchmarks.Groups.Service;

/// <summary>
/// Fairness between a user with 500 jobs in the queue at all times and fifteen users that submit one job at a time, the next when the last
/// has ended. The service of a user is the number of jobs that ended during the measurement. The wait of a job is the time from its
/// submission to its start by the clock of the queue. The gateway runs in this process with a limit that allows one user 500 jobs; Redis
/// and the worker are separate processes.
/// </summary>
internal static class Fairness
{
    private const int Flood = 500, LightUsers = 15, Tokens = 24;

    public static async Task<IReadOnlyList<Measurement>> Measure(RunSettings settings, CancellationToken cancellationToken)
    {
        await using BenchmarkCluster service = await BenchmarkCluster.StartAsync(gateway: false);
        await using WebApplication gateway = GatewayHost.Build(new GatewayOptions
        {
            GrpcPort = 0, HttpPort = 0, Tiers = new Dictionary<string, Tier>
            {
                ["standard"] = new(Weight: 1, JobsInFlight: 2 * Flood, JobsPerMinute: 1_000_000),
            },
        }, service.Backend, service.KeyStore);
        await gateway.StartAsync(cancellationToken);
        using GrpcChannel channel = BenchmarkCluster.Connect(GatewayHost.GetAddress(gateway).Grpc);
        var calls = new Inference.InferenceClient(channel);
        Protocol.Program program = Program();

        BenchmarkUser flood = await service.NewUserAsync("standard");
        BenchmarkUser[] light = await Task.WhenAll(Enumerable.Range(0, LightUsers).Select(_ => service.NewUserAsync("standard")));
        await calls.RunJobAsync(flood, program, cancellationToken); // the first job includes just-in-time compilation and is not measured
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var full = new TaskCompletionSource();
        Task<int> flooding = FloodAsync(calls, service, flood, program, full, end.Token);
        await full.Task.WaitAsync(TimeSpan.FromMinutes(1), cancellationToken);
        await SendAllAsync(TimeSpan.FromSeconds(2)); // warm-up
        List<JobInfo>[] ended = await SendAllAsync(TimeSpan.FromSeconds(settings.IsQuick ? 6 : 30));
        await end.CancelAsync();
        int flooded = await flooding;
        await gateway.StopAsync(cancellationToken);

        double[] served = [.. ended.Select(jobs => (double)jobs.Count)];
        double jain = served.Sum() * served.Sum() / (served.Length * served.Sum(x => x * x));
        double[] waits = [.. ended.SelectMany(jobs => jobs).Select(job => (job.Started - job.Submitted).ToTimeSpan().TotalSeconds).Order()];
        double run = Estimate.Of(ended.SelectMany(jobs => jobs).Select(job => (job.Ended - job.Started).ToTimeSpan().TotalSeconds)).Median;
        double p95 = Estimate.Quantile(waits, 0.95);
        string load =
            $"{Flood} jobs of one user in the line all the time, {flooded - Flood} taken from it; {LightUsers} users with "
                + $"{served.Min():0} to {served.Max():0} jobs each";
        return
        [
            new("service.fairness, Jain's index", jain, "", load, Goal.AtLeast(0.95)),
            new("service.fairness, wait, p95", p95 / run, "jobs' time",
                $"a job's time, {1e3 * run:0.0} ms (median); p50 {1e3 * Estimate.Quantile(waits, 0.5):0.0} ms, p95 {1e3 * p95:0.0} ms; "
                + $"{load}", new Goal(5)),
        ];

        async Task<List<JobInfo>[]> SendAllAsync(TimeSpan time)
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            stop.CancelAfter(time);
            return await Task.WhenAll(light.Select(user => SendAsync(calls, user, program, stop.Token)));
        }
    }

    /// <summary>Keeps the queue full and returns the number of jobs that were submitted.</summary>
    private static async Task<int> FloodAsync(
        Inference.InferenceClient calls, BenchmarkCluster service, BenchmarkUser flood, Protocol.Program program, TaskCompletionSource full,
        CancellationToken end)
    {
        int submitted = 0;
        try
        {
            while (true)
            {
                int missing = Flood - (await service.Backend.Jobs.ListAsync(flood.Id, 2 * Flood, activeOnly: true, end)).Count;
                for (int i = 0; i < missing; i++, submitted++)
                    await calls.SubmitAsync(new SubmitRequest { Program = program }, flood.Headers, cancellationToken: end);
                full.TrySetResult();
                await Task.Delay(50, end);
            }
        }
        catch (Exception e) when (end.IsCancellationRequested && e is OperationCanceledException or RpcException)
        {
            return submitted;
        }
    }

    private static async Task<List<JobInfo>> SendAsync(Inference.InferenceClient calls, BenchmarkUser user, Protocol.Program program,
        CancellationToken stop)
    {
        List<JobInfo> ended = [];
        try
        {
            while (true) ended.Add(await calls.RunJobAsync(user, program, stop));
        }
        // A call that is cancelled while it reads can fail with `The request was aborted` and a status other than Cancelled.
        catch (Exception e) when (stop.IsCancellationRequested && e is OperationCanceledException or RpcException)
        {
            return ended; // a job that is still running does not count
        }
    }

    private static Protocol.Program Program()
    {
        var llm = new LanguageModel("ndif/tiny-landmarks");
        using Trace trace = llm.Generate("Big Ben is in the city of", Tokens, new() { IgnoreEos = true });
        trace.Result.Save();
        return trace.ToProgram();
    }
}
