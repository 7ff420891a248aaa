using System.Globalization;
using Ndif.EndToEnd;
using Ndif.Processes;

namespace Ndif.Chaos;

/// <summary>
/// The service as processes: redis-server with its append-only file, two gateways, three workers; before each gateway and before Redis
/// a proxy, so that connections can be cut. What dies is started again, as an orchestrator would.
/// </summary>
internal sealed class Stage(string folder, int clients, int jobs, int seed) : IAsyncDisposable
{
    public const int Gateways = 2, Workers = 3, LeaseSeconds = 2;
    private const long MostGrowth = 300 << 20; // the heap of .NET grows to what it likes at first; hundreds of jobs of 16 MB each would show

    private readonly Seat[] _gateways = new Seat[Gateways], _workers = new Seat[Workers];
    private readonly List<Child> _all = [];
    private readonly int _redisPort = Processes.Redis.FreePort();
    private Child? _redis;
    private int _workersStarted;

    /// <summary>Between the service's processes and Redis.</summary>
    public TcpProxy RedisProxy { get; private set; } = null!;

    /// <summary>Between the clients and each gateway.</summary>
    public TcpProxy[] GatewayProxies { get; } = new TcpProxy[Gateways];

    public Child[] Clients { get; private set; } = [];

    public string RedisAddress => $"127.0.0.1:{_redisPort}";

    public string Data => Path.Combine(folder, "data");

    public async Task StartAsync()
    {
        await StartRedisAsync();
        RedisProxy = new TcpProxy(() => _redisPort);
        await using (Child keys = Tool("keys", "create", "chaos", "--tier", "priority", "--redis", RedisAddress, "--data", Data))
            Key = await keys.LineAsync(line => line.StartsWith("ndif_", StringComparison.Ordinal), "a key");
        await Task.WhenAll(Enumerable.Range(0, Gateways).Select(StartGatewayAsync).Concat(Enumerable.Range(0, Workers).Select(StartWorkerAsync)));
        for (int i = 0; i < Gateways; i++)
        {
            int which = i;
            GatewayProxies[i] = new TcpProxy(() => _gateways[which].Port);
        }
    }

    public void StartClients() => Clients = [.. Enumerable.Range(0, clients).Select(i => Add(Child.Start($"client {i}", Built.Dotnet,
        [Built.Chaos, "client", $"{i}", $"{clients}", $"{jobs}", $"{seed}", folder, .. GatewayProxies.Select(proxy => $"http://127.0.0.1:{proxy.Port}"), Key])))];

    public Child Gateway(int which) => _gateways[which].Process;

    public (string Id, Child Process) Worker(int which) => (_workers[which].Id, _workers[which].Process);

    public async Task StartGatewayAsync(int which)
    {
        int before = _gateways[which].Port;
        Child gateway = Tool("serve", "--redis", $"127.0.0.1:{RedisProxy.Port}", "--data", Data, "--port", $"{before}", "--http-port", "0", "--lease-seconds", $"{LeaseSeconds}");
        string line = await gateway.LineAsync(said => said.StartsWith("gateway ", StringComparison.Ordinal), "its addresses");
        _gateways[which] = new Seat($"gateway {which}", gateway, new Uri(line.Split(' ')[1]).Port, OpenFiles(gateway), Memory(gateway));
    }

    public async Task StartWorkerAsync(int which)
    {
        string id = string.Create(CultureInfo.InvariantCulture, $"w{which}-{Interlocked.Increment(ref _workersStarted)}");
        Child worker = Tool("worker", "--redis", $"127.0.0.1:{RedisProxy.Port}", "--data", Data, "--lease-seconds", $"{LeaseSeconds}", "--grace-seconds", "1", "--id", id);
        await worker.LineAsync(line => line.StartsWith($"worker {id}", StringComparison.Ordinal), "that it is ready");
        _workers[which] = new Seat(id, worker, 0, OpenFiles(worker), Memory(worker));
    }

    /// <summary>kill -9 of Redis, and its start with what its file holds.</summary>
    public async Task RestartRedisAsync(TimeSpan pause)
    {
        _redis!.Kill();
        await _redis.EndAsync();
        RedisProxy.Cut();
        await Task.Delay(pause);
        await StartRedisAsync();
    }

    /// <summary>Starts again what has died.</summary>
    public Task ReviveAsync() => Task.WhenAll(
        Enumerable.Range(0, Gateways).Where(i => !_gateways[i].Process.IsAlive).Select(StartGatewayAsync)
            .Concat(Enumerable.Range(0, Workers).Where(i => !_workers[i].Process.IsAlive).Select(StartWorkerAsync)));

    /// <summary>Processes that hold many more files and sockets than when they were ready.</summary>
    public IEnumerable<string> FileLeaks() => _gateways.Concat(_workers)
        .Select(seat => (seat.Id, Before: seat.OpenFiles, Now: OpenFiles(seat.Process)))
        .Where(files => files.Now > files.Before + 40).Select(files => $"{files.Id} holds {files.Now} open files, and held {files.Before} at first");

    /// <summary>Processes whose memory has grown far beyond what it was when they were ready: a pass's own is given back at rest.</summary>
    public IEnumerable<string> MemoryLeaks() => _gateways.Concat(_workers)
        .Select(seat => (seat.Id, Before: seat.Memory, Now: Memory(seat.Process)))
        .Where(memory => memory.Now > memory.Before + MostGrowth).Select(memory => $"{memory.Id} holds {memory.Now >> 20} MB, and held {memory.Before >> 20} MB at first");

    /// <summary>Processes that ended by an exception of their own, which no fault may cause.</summary>
    public IReadOnlyList<string> Crashes()
    {
        lock (_all) return [.. _all.Where(child => child.Errors.Contains("Unhandled exception", StringComparison.Ordinal)).Select(child => $"crashed: {child.Report()}")];
    }

    public string Report()
    {
        lock (_all) return string.Join("\n\n", _all.TakeLast(14).Select(child => child.Report()));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (TcpProxy? proxy in GatewayProxies.Append(RedisProxy))
            if (proxy is not null) await proxy.DisposeAsync();
        foreach (Child child in Enumerable.Reverse(_all)) await child.DisposeAsync();
    }

    private string Key { get; set; } = "";

    private async Task StartRedisAsync()
    {
        (_redis, _) = await Processes.Redis.StartAsync(folder, _redisPort, durable: true);
        Add(_redis);
    }

    private Child Tool(params string[] arguments) => Add(Child.Start($"ndif {string.Join(' ', arguments)}", Built.Dotnet, [Built.Tool, .. arguments],
        ("XDG_CONFIG_HOME", Path.Combine(folder, "config")), ("XDG_DATA_HOME", Path.Combine(folder, "share"))));

    private Child Add(Child child)
    {
        lock (_all) _all.Add(child);
        return child;
    }

    private static int OpenFiles(Child process)
    {
        try
        {
            return Directory.GetFileSystemEntries($"/proc/{process.Id}/fd").Length;
        }
        catch (IOException)
        {
            return 0; // it is gone
        }
    }

    private static long Memory(Child process)
    {
        try
        {
            return 4096 * long.Parse(File.ReadAllText($"/proc/{process.Id}/statm").Split(' ')[1], CultureInfo.InvariantCulture); // resident
        }
        catch (IOException)
        {
            return 0; // it is gone
        }
    }

    private readonly record struct Seat(string Id, Child Process, int Port, int OpenFiles, long Memory);
}
