using Ndif.Benchmarks.Harness;

namespace Ndif.Benchmarks.Groups.Service;

/// <summary>
/// The properties of the service: fairness, cancellation latency, memory of large results, latency, many clients, and a queue whose speed
/// does not depend on its length. Redis, gateway and worker are separate processes.
/// </summary>
internal sealed class ServiceGroup : BenchmarkGroup
{
    public override string Name => "Service";

    public override IReadOnlyList<Benchmark> Entries =>
    [
        new("service.latency", Latency.Measure),
        new("service.fairness", Fairness.Measure),
        new("service.cancel, a generation", CancelLatency.OfGeneration),
        new("service.cancel, 8 rows of 128 tokens", CancelLatency.OfBatch),
        new("service.cancel, a row of 1024 tokens", CancelLatency.OfLongRow),
        new("service.disconnect", Disconnects.Measure),
        new("service.big results", LargeResults.Measure),
        new("service.load", ManyWatchers.Measure),
        new("service.flatness, Redis", QueueScaling.OnRedis),
        new("service.flatness, in memory", QueueScaling.InMemory),
    ];
}
