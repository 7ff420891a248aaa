using System.Globalization;
using Ndif.Protocol;
using Ndif.Queue.Redis;
using StackExchange.Redis;

namespace Ndif.Queue.Tests.Redis;

/// <summary>What heartbeats cost Redis.</summary>
public sealed class HeartbeatCostTests(ITestOutputHelper output) : IAsyncLifetime
{
    private readonly TempFolder _folder = new();
    private ChildProcess _server = null!;
    private ConnectionMultiplexer _connection = null!;

    public async ValueTask InitializeAsync()
    {
        (_server, string address) = await RedisProcess.StartAsync(_folder.Path);
        _connection = await ConnectionMultiplexer.ConnectAsync(address + ",allowAdmin=true");
    }

    public async ValueTask DisposeAsync()
    {
        await _connection.DisposeAsync();
        await _server.DisposeAsync();
        _folder.Dispose();
    }

    /// <summary>Counts the bytes that Redis sends too: the heartbeats of others would be most of them.</summary>
    [Theory]
    [InlineData(0, 4)]
    [InlineData(1, 9)]
    public async Task AHeartbeat_CostsTheSame_HoweverManyWorkersThereAre(int models, int maxCommands)
    {
        var registry = new RedisWorkerRegistry(_connection);
        foreach (int workers in (int[])[2, 100])
        {
            await PublishAsync(workers); // the first one sends the script
            (long commands, long bytes) = await ReadAsync();
            await PublishAsync(workers);
            (long after, long bytesAfter) = await ReadAsync();
            double each = (double)(after - commands) / workers, bytesEach = (double)(bytesAfter - bytes) / workers;
            output.WriteLine($"{workers} workers: {each:0.00} commands and {bytesEach:0} bytes a heartbeat");
            Assert.InRange(each, 1, maxCommands + 0.5 + 3.0 / workers); // INFO and a keepalive count too
            Assert.InRange(bytesEach, 1, 40 + 10_000.0 / workers); // the answer of INFO counts too
        }

        async Task PublishAsync(int workers)
        {
            for (int i = 0; i < workers; i++)
            {
                var worker = new WorkerStatus { Id = $"w{i}", Device = "cpu" };
                worker.Models.AddRange(Enumerable.Range(0, models).Select(model => $"m{model}"));
                await registry.PublishHeartbeatAsync(worker, [], TestContext.Current.CancellationToken);
            }
        }
    }

    private async Task<(long Commands, long SentBytes)> ReadAsync()
    {
        Dictionary<string, string> stats = (await _connection.GetServers()[0].InfoAsync("stats")).SelectMany(section => section)
            .ToDictionary(entry => entry.Key, entry => entry.Value);
        Dictionary<string, string> calls = (await _connection.GetServers()[0].InfoAsync("commandstats")).SelectMany(section => section)
            .ToDictionary(entry => entry.Key, entry => entry.Value);
        return (calls.Values.Sum(call => long.Parse(call.Split('=', ',')[1], CultureInfo.InvariantCulture)),
            long.Parse(stats["total_net_output_bytes"], CultureInfo.InvariantCulture));
    }
}
