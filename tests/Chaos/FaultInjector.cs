using Ndif.Chaos.Faults;

namespace Ndif.Chaos;

/// <summary>
/// Injects random faults that the seed determines. Each fault ends, and processes that ended run again, before the next fault begins, so
/// that each loss of a worker can be checked separately.
/// </summary>
internal sealed class FaultInjector
{
    private readonly ChaosCluster _cluster;
    private readonly Random _random;
    private readonly (string Name, int Weight, Func<Task> Happens)[] _kinds;

    public FaultInjector(ChaosCluster cluster, int seed)
    {
        (_cluster, _random) = (cluster, new Random(seed));
        Followed = new FollowedByTwoGateways(cluster, _random);
        _kinds =
        [
            ("worker killed", 4, KillWorkerAsync),
            ("worker held for longer than its lease", 2, () => PauseWorkerAsync(TimeSpan.FromSeconds(ChaosCluster.LeaseSeconds * 1.7))),
            ("worker held for a moment", 1, () => PauseWorkerAsync(TimeSpan.FromMilliseconds(300))),
            ("worker told to stop", 1, () => _cluster.Worker(_random.Next(ChaosCluster.Workers)).Process.TerminateAsync()),
            ("gateway killed", 2, KillGatewayAsync),
            ("gateway held", 1, PauseGatewayAsync),
            ("Redis killed", 2, () => _cluster.RestartRedisAsync(TimeSpan.FromMilliseconds(_random.Next(800)))),
            ("Redis gone for longer than a lease", 1, () =>
                _cluster.RestartRedisAsync(TimeSpan.FromSeconds(ChaosCluster.LeaseSeconds * 1.5))),
            ("Redis loads its data", 2, () => _cluster.RestartLoadingRedisAsync(TimeSpan.FromSeconds(1 + 3 * _random.NextDouble()))),
            ("connections to a gateway cut", 2,
                () => RunSynchronously(() => _cluster.GatewayProxies[_random.Next(ChaosCluster.Gateways)].ResetAll())),
            ("connections to Redis cut", 2, () => RunSynchronously(() => _cluster.RedisProxy.ResetAll())),
            ("connections slow", 1, DelayConnectionsAsync),
            ("a replica of Redis that misses writes promoted", 2, new ReplicaPromoted(cluster, _random).InjectAsync),
            ("Redis restored from a backup", 2, new RedisFromOldBackup(cluster, _random).InjectAsync),
            ("a clock wrong", ClocksApart.IsPossible ? 2 : 0, new ClocksApart(cluster, _random).InjectAsync),
            ("the disk of the blobs full", cluster.HasDisk ? 2 : 0, new FullDisk(cluster, _random).InjectAsync),
            ("one of two gateways that follow a job killed", 2, Followed.InjectAsync),
            ("worker in a call that does not end", 2, HoldWorkerAsync),
        ];
    }

    /// <summary>Workers that were lost with the jobs that they ran, the time of the loss, and the workers that were alive.</summary>
    public List<(string Worker, DateTimeOffset At, string[] Others)> Losses { get; } = [];

    public FollowedByTwoGateways Followed { get; }

    public Dictionary<string, int> Counts { get; } = [];

    /// <summary>Workers that were killed, perhaps while they wrote a file.</summary>
    public int Kills { get; private set; }

    public async Task InjectNextAsync()
    {
        int at = _random.Next(_kinds.Sum(kind => kind.Weight));
        (string name, _, Func<Task> happens) = _kinds.First(kind => (at -= kind.Weight) < 0);
        Counts[name] = Counts.GetValueOrDefault(name) + 1;
        await happens();
        await _cluster.RestartDeadProcessesAsync();
    }

    private async Task KillWorkerAsync()
    {
        int which = _random.Next(ChaosCluster.Workers);
        (string id, ChildProcess worker) = _cluster.Worker(which);
        worker.Kill();
        Kills++;
        RecordLoss(id);
        await Task.WhenAll(worker.WaitForExitAsync(), Task.Delay(TimeSpan.FromSeconds(ChaosCluster.LeaseSeconds + 1)));
    }

    private void RecordLoss(string id) =>
        Losses.Add(
            (id, DateTimeOffset.UtcNow,
                [.. Enumerable.Range(0, ChaosCluster.Workers).Select(i => _cluster.Worker(i).Id).Where(other => other != id)]));

    private async Task PauseWorkerAsync(TimeSpan time)
    {
        (string id, ChildProcess worker) = _cluster.Worker(_random.Next(ChaosCluster.Workers));
        worker.Pause();
        if (time.TotalSeconds > ChaosCluster.LeaseSeconds) RecordLoss(id);
        await Task.Delay(time);
        worker.Resume();
    }

    private async Task KillGatewayAsync()
    {
        ChildProcess gateway = _cluster.Gateway(_random.Next(ChaosCluster.Gateways));
        gateway.Kill();
        await gateway.WaitForExitAsync();
    }

    private async Task PauseGatewayAsync()
    {
        ChildProcess gateway = _cluster.Gateway(_random.Next(ChaosCluster.Gateways));
        gateway.Pause();
        await Task.Delay(TimeSpan.FromSeconds(3));
        gateway.Resume();
    }

    private async Task DelayConnectionsAsync()
    {
        TcpProxy[] proxies = [_cluster.RedisProxy, .. _cluster.GatewayProxies];
        TcpProxy slow = proxies[_random.Next(proxies.Length)];
        slow.Delay = TimeSpan.FromMilliseconds(50);
        await Task.Delay(TimeSpan.FromSeconds(1.5));
        slow.Delay = TimeSpan.Zero;
    }

    private async Task HoldWorkerAsync()
    {
        await UnresponsiveCall.InjectAsync(_cluster);
        Kills++; // it may have been writing a file
    }

    private static Task RunSynchronously(Action action)
    {
        action();
        return Task.CompletedTask;
    }
}
