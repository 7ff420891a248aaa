using Ndif.Benchmarks.Harness;
using Ndif.Engine.Compiling;
using Estimate = Ndif.Benchmarks.Harness.Estimate;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>
/// Jobs of mixed lengths that arrive at random (a Poisson process) on a loaded model: the latency of the scheduler against that of a
/// policy that takes at most eight jobs that wait and runs them to their end before it looks at the queue again. 70 % load is 0.7 times the
/// jobs per second that this policy completes when the queue is never empty.
/// </summary>
/// <remarks>
/// Both policies serve the same arrivals, each by a clock of its own that counts the seconds in which it computes and skips those in which
/// no job is there. The one whose clock is behind goes on, so that both meet the same disturbances of the machine.
/// </remarks>
internal static class PoissonArrivals
{
    private const double Load = 0.7;

    public static IReadOnlyList<Measurement> Measure(ServedModel model, RunSettings settings)
    {
        int count = settings.IsQuick ? 24 : 300;
        var random = new Random(5);
        Plan[] plans = [.. Enumerable.Range(0, count).Select(_ => CompileJob(model, random))];
        double capacity = MeasureCapacity(model, plans);
        double[] arrivals = new double[count];
        double at = 0;
        for (int i = 0; i < count; i++) arrivals[i] = at += -Math.Log(1 - random.NextDouble()) / (Load * capacity);

        using var scheduled = new ContinuousBatchingServer(model.HookedModel, plans, arrivals);
        var batches = new StaticBatchingServer(model.HookedModel, plans, arrivals);
        while (!scheduled.IsDone || !batches.IsDone)
        {
            if (batches.IsDone || (!scheduled.IsDone && scheduled.Clock <= batches.Clock)) scheduled.Advance();
            else batches.Advance();
        }
        double p95 = Quantile(scheduled, 0.95), baseline = Quantile(batches, 0.95);
        return
        [
            new($"concurrency.{model.Name} random arrivals, p95", p95 / baseline, "x",
                $"batches of at most {StaticBatchingServer.MaxBatch} that run to their end: p95 {1e3 * baseline:0} ms, p50 "
                + $"{1e3 * Quantile(batches, 0.5):0} ms; the scheduler p95 {1e3 * p95:0} ms, p50 {1e3 * Quantile(scheduled, 0.5):0} ms; "
                + $"{count} jobs, {Load * capacity:0.0} a second ({100 * Load:0} % of what the batches complete)", new Goal(0.5)),
        ];
    }

    /// <summary>Half of the jobs are traces, four in ten short generations, and one in ten is a long one.</summary>
    private static Plan CompileJob(ServedModel model, Random random)
    {
        double kind = random.NextDouble();
        if (kind < 0.5) return model.CompileTrace(model.Prompt(random.Next(5, 64), random));
        return model.CompileGeneration(model.Prompt(random.Next(5, 40), random), kind < 0.9 ? random.Next(4, 20) : 64);
    }

    /// <summary>The jobs per second of the batches when all jobs wait from the start.</summary>
    private static double MeasureCapacity(ServedModel model, Plan[] plans)
    {
        Plan[] sample = plans[..Math.Min(plans.Length, 40)];
        Serve(sample[..4]); // so that the code is compiled
        return sample.Length / Serve(sample);

        double Serve(Plan[] jobs)
        {
            var server = new StaticBatchingServer(model.HookedModel, jobs, new double[jobs.Length]);
            while (!server.IsDone) server.Advance();
            return server.Clock;
        }
    }

    private static double Quantile(IServer server, double quantile) => Estimate.Quantile([.. server.Latencies.Order()], quantile);
}
