using System.Globalization;
using Ndif.EndToEnd;
using Ndif.Processes;

namespace Ndif.Chaos;

/// <summary>
/// The service as processes: redis-server with its append-only file, two gateways, three workers; before each gateway and before Redis
/// a proxy, so that connections can be cut. What dies is started again, as an orchestrator would.
/// </summary>
internal sealed class ServiceCluster(string folder, int clients, int jobs, int seed) : IAsyncDisposable
{
    public const int Gateways = 2, Workers = 3, LeaseSeconds = 2;
    private const long MaxMemoryGrowth = 300 << 20; // the heap of .NET grows to what it likes at first; hundreds of jobs of 16 MB each would show

    private readonly ServiceProcess[] _gateways = new ServiceProcess[Gateways], _workers = new ServiceProcess[Workers];
    private readonly List<ChildProcess> _processes = [];
    private readonly int _redisPort = Processes.RedisProcess.FreePort();
    private ChildProcess? _redis;
    private int _workersStarted;

    /// <summary>Between the service's processes and Redis.</summary>
    public TcpProxy RedisProxy { get; private set; } = null!;

    /// <summary>Between the clients and each gateway.</summary>
    public TcpProxy[] GatewayProxies { get; } = new TcpProxy[Gateways];

    public ChildProcess[] Clients { get; private set; } = [];

    public string RedisAddress => $"127.0.0.1:{_redisPort}";

    public string Data => Path.Combine(folder, "data");

    public async Task StartAsync()
    {
        await StartRedisAsync();
        RedisProxy = new TcpProxy(() => _redisPort);
        await using (ChildProcess keys = StartTool("keys", "create", "chaos", "--tier", "priority", "--redis", RedisAddress, "--data", Data))
            Key = await keys.WaitForLineAsync(line => line.StartsWith("ndif_", StringComparison.Ordinal), "a key");
        await Task.WhenAll(Enumerable.Range(0, Gateways).Select(StartGatewayAsync).Concat(Enumerable.Range(0, Workers).Select(StartWorkerAsync)));
        for (int i = 0; i < Gateways; i++)
        {
            int which = i;
            GatewayProxies[i] = new TcpProxy(() => _gateways[which].Port);
        }
    }

    public void StartClients() => Clients = [.. Enumerable.Range(0, clients).Select(i => Add(ChildProcess.Start($"client {i}", BuildOutput.Dotnet,
        [BuildOutput.Chaos, "client", $"{i}", $"{clients}", $"{jobs}", $"{seed}", folder, .. GatewayProxies.Select(proxy => $"http://127.0.0.1:{proxy.Port}"), Key])))];

    public ChildProcess Gateway(int index) => _gateways[index].Process;

    public (string Id, ChildProcess Process) Worker(int index) => (_workers[index].Id, _workers[index].Process);

    public async Task StartGatewayAsync(int index)
    {
        int before = _gateways[index].Port;
        ChildProcess gateway = StartTool("serve", "--redis", $"127.0.0.1:{RedisProxy.Port}", "--data", Data, "--port", $"{before}", "--http-port", "0", "--lease-seconds", $"{LeaseSeconds}");
        string line = await gateway.WaitForLineAsync(said => said.StartsWith("gateway ", StringComparison.Ordinal), "its addresses");
        _gateways[index] = new ServiceProcess($"gateway {index}", gateway, new Uri(line.Split(' ')[1]).Port, CountOpenFiles(gateway), GetResidentMemory(gateway));
    }

    public async Task StartWorkerAsync(int index)
    {
        string id = string.Create(CultureInfo.InvariantCulture, $"w{index}-{Interlocked.Increment(ref _workersStarted)}");
        ChildProcess worker = StartTool("worker", "--redis", $"127.0.0.1:{RedisProxy.Port}", "--data", Data, "--lease-seconds", $"{LeaseSeconds}", "--grace-seconds", "1", "--id", id);
        await worker.WaitForLineAsync(line => line.StartsWith($"worker {id}", StringComparison.Ordinal), "that it is ready");
        _workers[index] = new ServiceProcess(id, worker, 0, CountOpenFiles(worker), GetResidentMemory(worker));
    }

    /// <summary>kill -9 of Redis, and its start with what its file holds.</summary>
    public async Task RestartRedisAsync(TimeSpan pause)
    {
        _redis!.Kill();
        await _redis.WaitForExitAsync();
        RedisProxy.ResetAll();
        await Task.Delay(pause);
        await StartRedisAsync();
    }

    /// <summary>Starts again what has died.</summary>
    public Task RestartDeadProcessesAsync() => Task.WhenAll(
        Enumerable.Range(0, Gateways).Where(i => !_gateways[i].Process.IsAlive).Select(StartGatewayAsync)
            .Concat(Enumerable.Range(0, Workers).Where(i => !_workers[i].Process.IsAlive).Select(StartWorkerAsync)));

    /// <summary>Processes that hold many more files and sockets than when they were ready.</summary>
    public IEnumerable<string> FindFileLeaks() => _gateways.Concat(_workers)
        .Select(seat => (seat.Id, Before: seat.OpenFiles, Now: CountOpenFiles(seat.Process)))
        .Where(files => files.Now > files.Before + 40).Select(files => $"{files.Id} holds {files.Now} open files, and held {files.Before} at first");

    /// <summary>Processes whose memory has grown far beyond what it was when they were ready: a pass's own is given back at rest.</summary>
    public IEnumerable<string> FindMemoryLeaks() => _gateways.Concat(_workers)
        .Select(seat => (seat.Id, Before: seat.Memory, Now: GetResidentMemory(seat.Process)))
        .Where(memory => memory.Now > memory.Before + MaxMemoryGrowth).Select(memory => $"{memory.Id} holds {memory.Now >> 20} MB, and held {memory.Before >> 20} MB at first");

    /// <summary>Processes that ended by an exception of their own, which no fault may cause.</summary>
    public IReadOnlyList<string> FindCrashes()
    {
        lock (_processes) return [.. _processes.Where(child => child.Errors.Contains("Unhandled exception", StringComparison.Ordinal)).Select(child => $"crashed: {child.FormatOutput()}")];
    }

    public string Report()
    {
        lock (_processes) return string.Join("\n\n", _processes.TakeLast(14).Select(child => child.FormatOutput()));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (TcpProxy? proxy in GatewayProxies.Append(RedisProxy))
            if (proxy is not null) await proxy.DisposeAsync();
        foreach (ChildProcess child in Enumerable.Reverse(_processes)) await child.DisposeAsync();
    }

    private string Key { get; set; } = "";

    private async Task StartRedisAsync()
    {
        (_redis, _) = await Processes.RedisProcess.StartAsync(folder, _redisPort, durable: true);
        Add(_redis);
    }

    private ChildProcess StartTool(params string[] arguments) => Add(ChildProcess.Start($"ndif {string.Join(' ', arguments)}", BuildOutput.Dotnet, [BuildOutput.Tool, .. arguments],
        ("XDG_CONFIG_HOME", Path.Combine(folder, "config")), ("XDG_DATA_HOME", Path.Combine(folder, "share"))));

    private ChildProcess Add(ChildProcess child)
    {
        lock (_processes) _processes.Add(child);
        return child;
    }

    private static int CountOpenFiles(ChildProcess process)
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

    private static long GetResidentMemory(ChildProcess process)
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

    private readonly record struct ServiceProcess(string Id, ChildProcess Process, int Port, int OpenFiles, long Memory);
}
