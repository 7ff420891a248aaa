using Ndif.Benchmarks.Harness;

namespace Ndif.Benchmarks.Groups.Service;

/// <summary>
/// What a service owes its users: fairness, quick cancels, large results in little memory, latency, many clients, and a queue that
/// is as quick with many waiting jobs as with few. Redis, gateway and worker are processes of their own.
/// </summary>
internal sealed class ServiceGroup : BenchmarkGroup
{
    public override string Name => "Service";

    public override IReadOnlyList<Benchmark> Entries =>
    [
        new("service.latency", Latency.Measure),
        new("service.fairness", Fairness.Measure),
        new("service.cancel", CancelLatency.Measure),
        new("service.disconnect", Disconnects.Measure),
        new("service.big results", LargeResults.Measure),
        new("service.load", ManyWatchers.Measure),
        new("service.flatness, Redis", QueueScaling.OnRedis),
        new("service.flatness, in memory", QueueScaling.InMemory),
    ];
}
