using System.Globalization;

namespace Ndif.EndToEnd;

/// <summary>
/// The whole service as an operator runs it: redis-server, `ndif serve`, two `ndif worker`s and a key, each a process of its own.
/// Tests may kill any of them but Redis; <see cref="EnsureRunningAsync"/> starts what is missing.
/// </summary>
public class TestCluster : IAsyncLifetime
{
    /// <summary>How long a dead worker's job lies before another may take it.</summary>
    public const int LeaseSeconds = 3;

    private readonly string _folder = Directory.CreateTempSubdirectory("ndif-e2e-").FullName;
    private readonly List<ChildProcess> _processes = [];
    private ChildProcess? _gateway;
    private int _workersStarted;

    public string RedisAddress { get; private set; } = "";

    public Uri Grpc { get; private set; } = new("http://127.0.0.1:0");

    public Uri Http { get; private set; } = new("http://127.0.0.1:0");

    /// <summary>A key that may run experiments.</summary>
    public string Key { get; private set; } = "";

    public ChildProcess Gateway => _gateway ?? throw new InvalidOperationException("The gateway is not running.");

    /// <summary>The living workers, by id.</summary>
    public Dictionary<string, ChildProcess> Workers { get; } = [];

    /// <summary>The service as this process reaches it.</summary>
    public Backend Remote => Backend.At(Grpc.ToString(), Key);

    public string DataFolder => Path.Combine(_folder, "data");

    public async ValueTask InitializeAsync()
    {
        RedisAddress = await StartRedisAsync(_folder);
        Task<string> key = CreateKeyAsync("tests");
        await EnsureRunningAsync();
        Key = await key;
    }

    /// <summary>Sees to it that a gateway and two workers are there.</summary>
    public async Task EnsureRunningAsync()
    {
        foreach (string dead in Workers.Where(worker => !worker.Value.IsAlive).Select(worker => worker.Key).ToArray()) Workers.Remove(dead);
        Task gateway = _gateway is { IsAlive: true } ? Task.CompletedTask : StartGatewayAsync();
        await Task.WhenAll(Enumerable.Range(0, 2 - Workers.Count).Select(_ => StartWorkerAsync()).Append(gateway).ToArray());
    }

    /// <summary>Starts the gateway, again on the ports it had before.</summary>
    public async Task StartGatewayAsync()
    {
        _gateway = StartTool(["serve", "--redis", RedisAddress, "--data", DataFolder, "--port", $"{Grpc.Port}", "--http-port", $"{Http.Port}", .. BlobArguments]);
        string[] words = (await _gateway.WaitForLineAsync(line => line.StartsWith("gateway ", StringComparison.Ordinal), "its addresses")).Split(' ');
        (Grpc, Http) = (new Uri(words[1]), new Uri(words[2]));
    }

    public async Task<ChildProcess> StartWorkerAsync(params string[] extraArguments)
    {
        string id = string.Create(CultureInfo.InvariantCulture, $"w{Interlocked.Increment(ref _workersStarted)}");
        ChildProcess worker = StartTool(["worker", "--redis", RedisAddress, "--data", DataFolder, "--lease-seconds", $"{LeaseSeconds}", "--grace-seconds", "0", "--id", id, .. BlobArguments, .. extraArguments]);
        await worker.WaitForLineAsync(line => line == $"worker {id} {Experiments.Model}", "that it is ready");
        lock (Workers) Workers.Add(id, worker);
        return worker;
    }

    /// <summary>Makes a key as an operator does.</summary>
    public async Task<string> CreateKeyAsync(string name, params string[] options)
    {
        await using ChildProcess keys = StartTool(["keys", "create", name, "--redis", RedisAddress, "--data", DataFolder, .. options]);
        string key = await keys.WaitForLineAsync(line => line.StartsWith("ndif_", StringComparison.Ordinal), "a key");
        Assert.Equal(0, await keys.WaitForExitAsync());
        return key;
    }

    /// <summary>Starts the `ndif` tool, with a home of its own.</summary>
    public ChildProcess StartTool(params string[] arguments) => Add(ChildProcess.Start($"ndif {arguments[0]}", BuildOutput.Dotnet, [BuildOutput.Tool, .. arguments], [.. HomeEnvironment, .. ServiceEnvironment]));

    /// <summary>Starts a user's program against the service.</summary>
    public ChildProcess StartClient(string key, params string[] arguments) => Add(ChildProcess.Start($"client {string.Join(' ', arguments)}", BuildOutput.Dotnet, [BuildOutput.Client, .. arguments],
        [.. HomeEnvironment, ("NDIF_HOST", Grpc.ToString()), ("NDIF_API_KEY", key)]));

    /// <summary>What all its processes wrote.</summary>
    public string Report()
    {
        lock (_processes) return string.Join("\n\n", _processes.Select(child => child.FormatOutput()));
    }

    public virtual async ValueTask DisposeAsync()
    {
        foreach (ChildProcess child in Enumerable.Reverse(_processes)) await child.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Starts what the queue lives in.</summary>
    /// <returns>How the service is told of it.</returns>
    protected virtual async Task<string> StartRedisAsync(string folder)
    {
        (ChildProcess redis, string address) = await RedisProcess.StartAsync(folder, users: RedisUsers.Write(folder));
        Add(redis);
        return RedisUsers.Service(address); // with no more rights than it needs
    }

    /// <summary>Options of gateway and workers that say where large values lie; in the data folder without any.</summary>
    protected virtual IReadOnlyList<string> BlobArguments => [];

    /// <summary>What the service's processes find in their environment, and users' do not.</summary>
    protected virtual IReadOnlyList<(string, string)> ServiceEnvironment => [];

    private IReadOnlyList<(string, string)> HomeEnvironment => [("XDG_CONFIG_HOME", Path.Combine(_folder, "config")), ("XDG_DATA_HOME", Path.Combine(_folder, "share"))];

    protected ChildProcess Add(ChildProcess child)
    {
        lock (_processes) _processes.Add(child);
        return child;
    }
}
