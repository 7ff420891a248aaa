using Ndif.Benchmarks.Harness;

namespace Ndif.Benchmarks.Groups;

/// <summary>
/// What a service owes its users: fairness, quick cancels, large results in little memory, latency, many clients, and a queue that
/// is as quick with many waiting jobs as with few. Redis, gateway and worker are processes of their own.
/// </summary>
internal sealed class Service : Group
{
    public override string Name => "Service";

    public override IReadOnlyList<Entry> Entries =>
    [
        new("service.latency", Latency.Measure),
        new("service.fairness", Fairness.Measure),
        new("service.cancel", Cancelling.Measure),
        new("service.disconnect", Disconnecting.Measure),
        new("service.big results", BigResults.Measure),
        new("service.load", Load.Measure),
        new("service.flatness, Redis", Flatness.OnRedis),
        new("service.flatness, in memory", Flatness.InMemory),
    ];
}
