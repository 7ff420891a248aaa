using Ndif.Benchmarks.Harness;

namespace Ndif.Benchmarks.Groups.Isolation;

/// <summary>
/// How much longer the jobs of ordinary users take while one key, or a client without one, uses the service as intensively as it is
/// allowed to. Redis, gateway, worker and the attacker are separate processes.
/// </summary>
internal sealed class IsolationGroup : BenchmarkGroup
{
    public override string Name => "Isolation";

    public override IReadOnlyList<Benchmark> Entries =>
        [.. Attack.All.Select(attack => new Benchmark($"isolation.{attack.Name}",
            (settings, cancellationToken) => AttackedUsers.MeasureAsync(attack, settings, cancellationToken)))];
}
