using System.Globalization;
using Ndif.Chaos.Faults;
using StackExchange.Redis;

namespace Ndif.Chaos;

/// <summary>
/// The service under faults: redis-server with its append-only file, two gateways, three workers, and a proxy in front of each gateway
/// and of Redis, so that connections can be cut. Processes that end are started again, as an orchestrator does.
/// </summary>
internal sealed class ChaosCluster(string folder, int clients, int jobs, int seed) : IAsyncDisposable
{
    public const int Gateways = 2, Workers = 3, LeaseSeconds = 2;
    private const long MaxMemoryGrowth = 300 << 20; // the heap of .NET grows at first; a leak of hundreds of jobs of 16 MB each is larger
    private const long MaxLateMemoryGrowth = 64 << 20; // from the second quarter of the life of a process to the last
    private const int Killed = 128 + 9, Terminated = 128 + 15, UnresponsiveExitCode = 75;
    private const int MinMemorySamples = 120; // younger processes are not compared

    private readonly ChaosServices _services = new(folder);
    private readonly Member[] _gateways = new Member[Gateways], _workers = new Member[Workers];
    private int _redisPort = FreePort.Find();
    private readonly Dictionary<string, List<long>> _memory = []; // by process: its resident memory at each sample
    private ChildProcess? _redis;
    private int _workersStarted;
    private bool _hasDisk;

    /// <summary>The API key of the clients.</summary>
    public string Key { get; private set; } = "";

    public string Folder => folder;

    public ChaosServices Services => _services;

    public string AppendOnlyFolder => Path.Combine(folder, "appendonlydir");

    public string BlobFolder => Path.Combine(Data, "blobs");

    /// <summary>Whether the blobs are on a disk of their own, whose size can be changed.</summary>
    public bool HasDisk => _hasDisk;

    /// <summary>The proxy between the processes of the service and Redis.</summary>
    public TcpProxy RedisProxy { get; private set; } = null!;

    /// <summary>The proxies between the clients and each gateway.</summary>
    public TcpProxy[] GatewayProxies { get; } = new TcpProxy[Gateways];

    public ChildProcess[] Clients { get; private set; } = [];

    /// <summary>The gateways and workers that were started with another clock.</summary>
    public HashSet<ChildProcess> ProcessesWithWrongClock { get; } = [];

    public int RedisPort => _redisPort;

    public string RedisAddress => $"127.0.0.1:{_redisPort}";

    public string Data => _services.DataFolder;

    public async Task StartAsync()
    {
        _hasDisk = FullDisk.TryMount(BlobFolder);
        await StartRedisAsync();
        Key = await _services.CreateKeyAsync("chaos", "--tier", "priority");
        RedisProxy = new TcpProxy(() => _redisPort);
        _services.RedisAddress = $"127.0.0.1:{RedisProxy.Port}";
        await Task.WhenAll(Enumerable.Range(0, Gateways).Select(StartGatewayAsync)
            .Concat(Enumerable.Range(0, Workers).Select(StartWorkerAsync)));
        for (int i = 0; i < Gateways; i++)
        {
            int index = i;
            GatewayProxies[i] = new TcpProxy(() => _gateways[index].Port);
        }
    }

    public void StartClients() =>
        Clients = [.. Enumerable.Range(0, clients).Select(i => _services.StartProgram($"client {i}", BuildOutput.Chaos,
        ["client", $"{i}", $"{clients}", $"{jobs}", $"{seed}", folder, .. GatewayProxies.Select(proxy => $"http://127.0.0.1:{proxy.Port}"),
            Key]))];

    /// <summary>The process of a worker; null if it has been replaced.</summary>
    public ChildProcess? FindWorker(string id) => _workers.FirstOrDefault(worker => worker.Id == id).Process;

    public ChildProcess Gateway(int index) => _gateways[index].Process;

    public (string Id, ChildProcess Process) Worker(int index) => (_workers[index].Id, _workers[index].Process);

    /// <summary>Cuts the connections to Redis and connects all processes to the server at another port.</summary>
    public void ConnectToRedis(int port)
    {
        _redisPort = port;
        RedisProxy.ResetAll();
    }

    /// <summary>Kills Redis (SIGKILL) and restarts it with the data of its append-only file.</summary>
    public async Task RestartRedisAsync(TimeSpan pause)
    {
        await StopRedisAsync();
        await Task.Delay(pause);
        await StartRedisAsync();
    }

    /// <summary>
    /// Kills Redis when all that it has acknowledged is in its append-only file. With its default, appendfsync everysec, it delays writes
    /// to the file for up to two seconds while the disk is busy, and those are lost with the process.
    /// </summary>
    public async Task StopRedisAsync()
    {
        await using (ConnectionMultiplexer redis = await ConnectionMultiplexer.ConnectAsync($"{RedisAddress},allowAdmin=true"))
        {
            await redis.GetServers()[0].ConfigSetAsync("appendfsync", "always");
            await redis.GetDatabase().PingAsync(); // the file is written before the answer is sent
        }
        _redis!.Kill();
        await _redis.WaitForExitAsync();
        RedisProxy.ResetAll();
    }

    /// <summary>Kills Redis and restarts it so that it loads its data for some seconds, and refuses all commands meanwhile.</summary>
    public async Task RestartLoadingRedisAsync(TimeSpan loading)
    {
        const int BytesPerCommand = 60, MicrosecondsPerPause = 100; // the shortest pause of the system
        await StopRedisAsync();
        long bytes = Directory.EnumerateFiles(folder, "appendonly*", SearchOption.AllDirectories).Sum(file => new FileInfo(file).Length);
        double commands = Math.Max(1, bytes / BytesPerCommand), pauses = loading.TotalMicroseconds / MicrosecondsPerPause;
        // positive: a pause after each command, in microseconds; negative: the shortest pause after one command of so many
        int delay = commands < pauses ? (int)(loading.TotalMicroseconds / commands) : -(int)Math.Max(2, commands / pauses);
        _redis = _services.Add(
            RedisProcess.StartLoading(folder, _redisPort, durable: true, "--key-load-delay", $"{delay}"));
        await _redis.WaitForLineAsync(line => line.Contains("Ready to accept connections", StringComparison.Ordinal), "that it is ready");
    }

    /// <summary>Restarts the processes that have ended.</summary>
    public Task RestartDeadProcessesAsync() => Task.WhenAll(
        Enumerable.Range(0, Gateways).Where(i => !_gateways[i].Process.IsAlive).Select(StartGatewayAsync)
            .Concat(Enumerable.Range(0, Workers).Where(i => !_workers[i].Process.IsAlive).Select(StartWorkerAsync)));

    /// <summary>Processes that have many more files and sockets open than when they were ready.</summary>
    public IEnumerable<string> FindFileLeaks() => _gateways.Concat(_workers)
        .Select(member => (member.Id, Before: member.OpenFiles, Now: CountOpenFiles(member.Process)))
        .Where(files => files.Now > files.Before + 40)
        .Select(files => $"{files.Id} holds {files.Now} open files, and held {files.Before} at first");

    /// <summary>Notes the memory of each process; called about once a second.</summary>
    public void SampleMemory()
    {
        foreach (Member member in _gateways.Concat(_workers).Where(member => member.Process.IsAlive))
        {
            if (!_memory.TryGetValue(member.Id, out List<long>? samples)) _memory.Add(member.Id, samples = []);
            samples.Add(GetResidentMemory(member.Process));
        }
    }

    /// <summary>
    /// For each worker that has lived long enough, the median of its memory in the second quarter of its life and in the last, in bytes.
    /// </summary>
    public IEnumerable<(string Id, long Early, long Late)> MemoryOfWorkers() =>
        from entry in _memory
        let samples = entry.Value
        where entry.Key.StartsWith('w') && samples.Count >= MinMemorySamples
        let quarter = samples.Count / 4
        select (entry.Key, Median(samples[quarter..(2 * quarter)]), Median(samples[^quarter..]));

    /// <summary>Processes whose memory has grown far beyond what it was when they were ready, or goes on growing.</summary>
    public IEnumerable<string> FindMemoryLeaks() => _gateways.Concat(_workers)
        .Select(member => (member.Id, Before: member.Memory, Now: GetResidentMemory(member.Process)))
        .Where(memory => memory.Now > memory.Before + MaxMemoryGrowth)
        .Select(memory => $"{memory.Id} holds {memory.Now >> 20} MB, and held {memory.Before >> 20} MB at first")
        .Concat(MemoryOfWorkers().Where(memory => memory.Late > memory.Early + MaxLateMemoryGrowth)
            .Select(memory => $"{memory.Id} grew from {memory.Early >> 20} to {memory.Late >> 20} MB"));

    private static long Median(List<long> values) => values.Order().ElementAt(values.Count / 2);

    /// <summary>
    /// Gateways and workers that ended in another way than faults make them: stopped (0), killed (SIGKILL), or by their own watchdog. One
    /// that ends before it writes a line fails its start.
    /// </summary>
    public IReadOnlyList<string> FindCrashes() =>
        [.. _services.Processes.Where(process => process.Name is "ndif serve" or "ndif worker" && process.Lines.Count > 0
                && process.ExitCode is not (null or 0 or Killed or UnresponsiveExitCode)
                && !(process.ExitCode is Terminated && ProcessesWithWrongClock.Contains(process)))
            .Select(process => $"crashed: {process.FormatOutput()}")];

    /// <summary>The last lines of the processes that have logged something about the jobs, with all lines about the jobs.</summary>
    public string Report(IReadOnlyList<string> jobs) => string.Join("\n\n",
        from process in _services.Processes
        let lines = process.Lines.Where(line => jobs.Any(job => line.Contains(job, StringComparison.Ordinal))).ToList()
        where lines.Count > 0
        select $"{process.FormatOutput()}\n... {process.Lines[0]}, about the jobs:\n{string.Join('\n', lines)}");

    public async ValueTask DisposeAsync()
    {
        foreach (TcpProxy? proxy in GatewayProxies.Append(RedisProxy))
            if (proxy is not null) await proxy.DisposeAsync();
        await _services.DisposeAsync();
        if (_hasDisk) FullDisk.Unmount(BlobFolder);
    }

    public async Task StartRedisAsync() => _redis = await _services.StartRedisAsync(_redisPort, durable: true);

    private async Task StartGatewayAsync(int index)
    {
        GatewayProcess gateway = await _services.StartGatewayProcessAsync(
            _gateways[index].Port, 0, "--lease-seconds", $"{LeaseSeconds}", "--set", "Gateway:BlobCleanupInterval=00:00:05");
        _gateways[index] =
            new Member($"gateway {index}", gateway.Process, gateway.Grpc.Port, CountOpenFiles(gateway.Process),
                GetResidentMemory(gateway.Process));
    }

    private async Task StartWorkerAsync(int index)
    {
        string id = string.Create(CultureInfo.InvariantCulture, $"w{index}-{Interlocked.Increment(ref _workersStarted)}");
        ChildProcess worker = await _services.StartWorkerProcessAsync(id, "--lease-seconds", $"{LeaseSeconds}", "--grace-seconds", "1",
            "--unresponsive-seconds", "1");
        _workers[index] = new Member(id, worker, 0, CountOpenFiles(worker), GetResidentMemory(worker));
    }

    private static int CountOpenFiles(ChildProcess process)
    {
        try
        {
            return Directory.GetFileSystemEntries($"/proc/{process.Id}/fd").Length;
        }
        catch (IOException)
        {
            return 0; // the process has ended
        }
    }

    private static long GetResidentMemory(ChildProcess process)
    {
        try
        {
            return Environment.SystemPageSize
                * long.Parse(File.ReadAllText($"/proc/{process.Id}/statm").Split(' ')[1], CultureInfo.InvariantCulture);
        }
        catch (IOException)
        {
            return 0; // the process has ended
        }
    }

    /// <summary>A gateway or worker, with the files and memory that it used when it was ready.</summary>
    private readonly record struct Member(string Id, ChildProcess Process, int Port, int OpenFiles, long Memory);
}
