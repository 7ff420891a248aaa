using Estimate = Ndif.Benchmarks.Harness.Estimate;
using Ndif.Benchmarks.Harness;
using Ndif.Engine.Compiling;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>
/// How long a newcomer waits for its answer while others generate, and on an idle model. The two are measured in turn: while the idle model
/// is measured, the scheduler of the others stands still. A newcomer arrives at a random moment of a step of the others, whose rest is part
/// of its latency.
/// </summary>
internal static class LatencyUnderLoad
{
    private const double Limit = 3;

    /// <summary>A one-pass trace while another user generates 512 tokens.</summary>
    public static IReadOnlyList<Measurement> OfTrace(ServedModel model, RunSettings settings)
    {
        var random = new Random(1);
        Plan[] others = [model.CompileGeneration(model.Prompt(12, random), newTokens: 512)];
        return Measure($"concurrency.{model.Name} a trace beside a generation", "the whole trace", model, others,
            () => model.CompileTrace(model.Prompt(random.Next(6, 24), random)), job => job.End, settings);
    }

    /// <summary>The first token of a generation while eight others run.</summary>
    public static IReadOnlyList<Measurement> OfFirstToken(ServedModel model, RunSettings settings)
    {
        var random = new Random(2);
        Plan[] others =
            [.. Enumerable.Range(0, 8).Select(i => model.CompileGeneration(model.Prompt(random.Next(6, 40), random), 200 + 40 * i))];
        return Measure($"concurrency.{model.Name} first token beside 8 generations", "the first token", model, others,
            () => model.CompileGeneration(model.Prompt(random.Next(6, 40), random), newTokens: 4), job => job.FirstToken, settings);
    }

    private static IReadOnlyList<Measurement> Measure(string name, string answer, ServedModel model, Plan[] others, Func<Plan> newcomer,
        Func<TimedJob, ClockReading?> answered, RunSettings settings)
    {
        var random = new Random(3);
        using var load = new BackgroundLoad(model.HookedModel, others);
        List<Elapsed> idle = [], busy = [], steps = [];
        int warmup = 2, count = settings.RoundCount(100);
        for (int i = 0; i < warmup + count; i++)
        {
            Plan plan = newcomer();
            (TimedJob[] alone, ClockReading start) = model.Run(plan);
            using var job = new TimedJob(plan);
            load.Step();
            ClockReading from = ClockReading.Now;
            load.Step(); // in which the job arrives
            Elapsed step = ClockReading.Now - from;
            from = ClockReading.Now;
            job.AddTo(load.Scheduler);
            while (answered(job) is null) load.Step();
            Elapsed latency = random.NextDouble() * step + (answered(job)!.Value - from);
            while (job.End is null) load.Step();
            if (i < warmup) continue;
            idle.Add(answered(alone[0])!.Value - start);
            busy.Add(latency);
            steps.Add(step);
        }
        double p95 = Quantile(busy, 0.95), idleP95 = Quantile(idle, 0.95);
        return
        [
            new($"{name}, p95", p95 / idleP95, "x",
                $"{answer} on the idle model, p95 {1e3 * idleP95:0.0} ms; beside the others p95 {1e3 * p95:0.0} ms; p50 "
                + $"{1e3 * Quantile(idle, 0.5):0.0} and {1e3 * Quantile(busy, 0.5):0.0} ms; a step of the others takes "
                + $"{1e3 * Quantile(steps, 0.5):0.0} ms", new Goal(Limit)),
            new($"{name}, p95, processor time",
                ProcessorQuantile(busy, 0.95) / ProcessorQuantile(idle, 0.95), "x", $"{answer} on the idle model, of all threads"),
        ];
    }

    private static double Quantile(List<Elapsed> times, double quantile) =>
        Estimate.Quantile([.. times.Select(time => time.Wall).Order()], quantile);

    private static double ProcessorQuantile(List<Elapsed> times, double quantile) =>
        Estimate.Quantile([.. times.Select(time => time.Processor).Order()], quantile);
}
