using Ndif.Processes;

namespace Ndif.Chaos;

/// <summary>
/// What goes wrong, drawn by the seed. Each fault ends, and what died is there again, before the next begins: so that each loss of a
/// worker can be judged alone.
/// </summary>
internal sealed class Faults
{
    private readonly Stage _stage;
    private readonly Random _chance;
    private readonly (string Name, int Weight, Func<Task> Happens)[] _kinds;

    public Faults(Stage stage, int seed)
    {
        (_stage, _chance) = (stage, new Random(seed));
        _kinds =
        [
            ("worker killed", 4, KillWorkerAsync),
            ("worker held for longer than its lease", 2, () => HoldWorkerAsync(TimeSpan.FromSeconds(Stage.LeaseSeconds * 1.7))),
            ("worker held for a moment", 1, () => HoldWorkerAsync(TimeSpan.FromMilliseconds(300))),
            ("worker told to stop", 1, () => _stage.Worker(_chance.Next(Stage.Workers)).Process.TerminateAsync()),
            ("gateway killed", 2, KillGatewayAsync),
            ("gateway held", 1, HoldGatewayAsync),
            ("Redis killed", 2, () => _stage.RestartRedisAsync(TimeSpan.FromMilliseconds(_chance.Next(800)))),
            ("Redis gone for longer than a lease", 1, () => _stage.RestartRedisAsync(TimeSpan.FromSeconds(Stage.LeaseSeconds * 1.5))),
            ("connections to a gateway cut", 2, () => Done(() => _stage.GatewayProxies[_chance.Next(Stage.Gateways)].Cut())),
            ("connections to Redis cut", 2, () => Done(() => _stage.RedisProxy.Cut())),
            ("connections slow", 1, SlowAsync),
        ];
    }

    /// <summary>Workers that were lost with whatever they ran: by their ids, and when; and the others, who were well.</summary>
    public List<(string Worker, DateTimeOffset At, string[] Others)> Losses { get; } = [];

    public Dictionary<string, int> Counts { get; } = [];

    /// <summary>Processes that were killed while they may have been writing a file.</summary>
    public int Kills { get; private set; }

    public async Task OneAsync()
    {
        int at = _chance.Next(_kinds.Sum(kind => kind.Weight));
        (string name, _, Func<Task> happens) = _kinds.First(kind => (at -= kind.Weight) < 0);
        Counts[name] = Counts.GetValueOrDefault(name) + 1;
        await happens();
        await _stage.ReviveAsync();
    }

    private async Task KillWorkerAsync()
    {
        int which = _chance.Next(Stage.Workers);
        (string id, Child worker) = _stage.Worker(which);
        worker.Kill();
        Kills++;
        Lost(id);
        await Task.WhenAll(worker.EndAsync(), Task.Delay(TimeSpan.FromSeconds(Stage.LeaseSeconds + 1)));
    }

    private void Lost(string id) =>
        Losses.Add((id, DateTimeOffset.UtcNow, [.. Enumerable.Range(0, Stage.Workers).Select(i => _stage.Worker(i).Id).Where(other => other != id)]));

    private async Task HoldWorkerAsync(TimeSpan time)
    {
        (string id, Child worker) = _stage.Worker(_chance.Next(Stage.Workers));
        worker.Pause();
        if (time.TotalSeconds > Stage.LeaseSeconds) Lost(id);
        await Task.Delay(time);
        worker.Continue();
    }

    private async Task KillGatewayAsync()
    {
        Child gateway = _stage.Gateway(_chance.Next(Stage.Gateways));
        gateway.Kill();
        await gateway.EndAsync();
    }

    private async Task HoldGatewayAsync()
    {
        Child gateway = _stage.Gateway(_chance.Next(Stage.Gateways));
        gateway.Pause();
        await Task.Delay(TimeSpan.FromSeconds(3));
        gateway.Continue();
    }

    private async Task SlowAsync()
    {
        TcpProxy[] proxies = [_stage.RedisProxy, .. _stage.GatewayProxies];
        TcpProxy slow = proxies[_chance.Next(proxies.Length)];
        slow.Delay = TimeSpan.FromMilliseconds(50);
        await Task.Delay(TimeSpan.FromSeconds(1.5));
        slow.Delay = TimeSpan.Zero;
    }

    private static Task Done(Action act)
    {
        act();
        return Task.CompletedTask;
    }
}
