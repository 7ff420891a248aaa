using System.Globalization;
using System.Net;
using StackExchange.Redis;

namespace Ndif.Chaos.Faults;

/// <summary>
/// A failover that loses writes: a replica that has not received those of the last seconds becomes the primary server, and all processes
/// connect to it. Then the first server becomes its replica, is promoted when nothing is missing, and everything is as before. Jobs that
/// were accepted in those seconds are gone, and jobs that ended run again.
/// </summary>
internal sealed class ReplicaPromoted(ChaosCluster cluster, Random random)
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);

    private int _count;

    public async Task InjectAsync()
    {
        int first = cluster.RedisPort, second = FreePort.Find();
        string folder = Directory.CreateDirectory(Path.Combine(cluster.Folder, $"replica-{_count++}")).FullName;
        (ChildProcess replica, _) = await RedisProcess.StartAsync(folder, second);
        cluster.Services.Add(replica);
        await using ConnectionMultiplexer both =
            await ConnectionMultiplexer.ConnectAsync($"127.0.0.1:{first},127.0.0.1:{second},allowAdmin=true");
        IServer firstServer = both.GetServer(IPAddress.Loopback, first), secondServer = both.GetServer(IPAddress.Loopback, second);
        using IDisposable disturbance = Disturbances.Begin(cluster.Folder, Disturbances.Restore);
        await using (var replication = new TcpProxy(() => first))
        {
            await secondServer.ExecuteAsync("REPLICAOF", "127.0.0.1", $"{replication.Port}");
            await WaitUntilInSyncAsync(firstServer, secondServer);
        }
        await Task.Delay(TimeSpan.FromSeconds(1 + 4 * random.NextDouble())); // the replica misses all writes of this time
        await secondServer.ExecuteAsync("REPLICAOF", "NO", "ONE");
        cluster.ConnectToRedis(second);
        await Task.Delay(TimeSpan.FromSeconds(1 + 2 * random.NextDouble()));

        await firstServer.ExecuteAsync("REPLICAOF", "127.0.0.1", $"{second}");
        await WaitUntilInSyncAsync(secondServer, firstServer);
        await secondServer.ExecuteAsync("CLIENT", "PAUSE", $"{_patience.TotalMilliseconds:0}", "WRITE");
        await WaitUntilInSyncAsync(secondServer, firstServer);
        await firstServer.ExecuteAsync("REPLICAOF", "NO", "ONE");
        cluster.ConnectToRedis(first);
        replica.Kill();
        await Task.Delay(TimeSpan.FromSeconds(1)); // streams that were open notice it
    }

    /// <summary>Waits until a replica has received all that its primary server has written.</summary>
    private static async Task WaitUntilInSyncAsync(IServer primary, IServer replica) => await Poll.UntilAsync(
        async () => (await ReadAsync(primary), await ReadAsync(replica)),
        states => states.Item2.Link == "up" && states.Item2.Offset >= states.Item1.Offset, _patience, () => "the replica is not in sync");

    private static async Task<(string Link, long Offset)> ReadAsync(IServer server)
    {
        Dictionary<string, string> info = (await server.InfoAsync("replication")).SelectMany(section => section)
            .ToDictionary(entry => entry.Key, entry => entry.Value);
        string offset = info.GetValueOrDefault("slave_repl_offset") ?? info["master_repl_offset"];
        return (info.GetValueOrDefault("master_link_status", ""), long.Parse(offset, CultureInfo.InvariantCulture));
    }
}
