namespace Ndif.Tests.Support;

/// <summary>
/// The service as an operator runs it, with separate processes for redis-server, `ndif serve` and `ndif worker`. A cluster owns the
/// processes that it starts: it can show their output, and ends them when it is disposed.
/// </summary>
public class ServiceCluster : IAsyncDisposable
{
    private readonly List<ChildProcess> _processes = [];
    private readonly bool _ownsFolder;

    /// <param name="folder">The folder for the files of the processes; null for a temporary folder that is deleted at the end.</param>
    public ServiceCluster(string? folder = null)
    {
        _ownsFolder = folder is null;
        Folder = folder ?? Directory.CreateTempSubdirectory("ndif-cluster-").FullName;
    }

    public string Folder { get; }

    /// <summary>The value of `--data`.</summary>
    public string DataFolder => Path.Combine(Folder, "data");

    /// <summary>The value of `--redis`: how gateways, workers and the tool reach Redis.</summary>
    public string RedisAddress { get; set; } = "";

    /// <summary>The value of `--prefix`; null for the tool's default.</summary>
    public string? Prefix { get; init; }

    /// <summary>Additional arguments of every gateway and worker, such as the location of large values.</summary>
    protected virtual IReadOnlyList<string> ServiceArguments => [];

    /// <summary>Environment variables of the `ndif` tool. Client programs do not get them.</summary>
    protected virtual IReadOnlyList<(string Name, string Value)> ServiceEnvironment => [];

    /// <summary>Starts redis-server, and sets <see cref="RedisAddress"/> if it is not set yet.</summary>
    /// <param name="port">0 for a free port.</param>
    /// <param name="durable">Whether it keeps its data in an append-only file.</param>
    /// <param name="users">Whether it has the users of deploy/redis; the service then has no more rights than it needs.</param>
    public async Task<ChildProcess> StartRedisAsync(int port = 0, bool durable = false, bool users = false)
    {
        (ChildProcess redis, string address) =
            await RedisProcess.StartAsync(Folder, port, durable, users ? RedisUsers.Write(Folder) : null);
        if (RedisAddress.Length == 0) RedisAddress = users ? RedisUsers.Service(address) : address;
        return Add(redis);
    }

    /// <summary>Starts a gateway and waits until it listens.</summary>
    /// <param name="port">The port for gRPC; 0 for a free one.</param>
    /// <param name="httpPort">The port for HTTP; 0 for a free one.</param>
    public async Task<GatewayProcess> StartGatewayProcessAsync(int port = 0, int httpPort = 0, params string[] arguments)
    {
        ChildProcess gateway =
            StartTool(["serve", .. CommonArguments, "--port", $"{port}", "--http-port", $"{httpPort}", .. ServiceArguments, .. arguments]);
        string[] words = (await gateway.WaitForLineAsync(line => line.StartsWith("gateway ", StringComparison.Ordinal), "its addresses"))
            .Split(' ');
        return new GatewayProcess(gateway, new Uri(words[1]), new Uri(words[2]));
    }

    /// <summary>Starts a worker in a process of its own, which ends if it fails, and waits until it accepts jobs.</summary>
    public Task<ChildProcess> StartWorkerProcessAsync(string id, params string[] arguments) =>
        StartSupervisedWorkerAsync(id, ["--no-restart", .. arguments]);

    /// <summary>Starts a worker under its supervisor, and waits until it accepts jobs.</summary>
    public async Task<ChildProcess> StartSupervisedWorkerAsync(string id, params string[] arguments)
    {
        ChildProcess worker = StartTool(["worker", .. CommonArguments, "--id", id, .. ServiceArguments, .. arguments]);
        await worker.WaitForLineAsync(line => line.StartsWith($"worker {id}", StringComparison.Ordinal), "that it is ready");
        return worker;
    }

    /// <summary>Creates an API key as an operator does.</summary>
    public async Task<string> CreateKeyAsync(string name, params string[] options)
    {
        await using ChildProcess keys = StartTool(["keys", "create", name, .. CommonArguments, .. options]);
        string key = await keys.WaitForLineAsync(line => line.StartsWith("ndif_", StringComparison.Ordinal), "a key");
        return await keys.WaitForExitAsync() == 0 ? key : throw new InvalidOperationException(keys.FormatOutput());
    }

    /// <summary>Starts the `ndif` tool with separate home folders.</summary>
    public ChildProcess StartTool(params string[] arguments) =>
        StartProgram($"ndif {arguments[0]}", BuildOutput.Tool, arguments, [.. ServiceEnvironment]);

    /// <summary>Starts a .NET program with separate home folders.</summary>
    public ChildProcess StartProgram(string name, string assembly, IEnumerable<string> arguments,
        params (string Name, string Value)[] environment) =>
        Add(ChildProcess.Start(name, BuildOutput.Dotnet, [assembly, .. arguments],
            [("XDG_CONFIG_HOME", Path.Combine(Folder, "config")), ("XDG_DATA_HOME", Path.Combine(Folder, "share")), .. environment]));

    /// <summary>Takes ownership of a process.</summary>
    public ChildProcess Add(ChildProcess process)
    {
        lock (_processes) _processes.Add(process);
        return process;
    }

    /// <summary>All processes that were started, including those that have ended.</summary>
    public IReadOnlyList<ChildProcess> Processes
    {
        get
        {
            lock (_processes) return [.. _processes];
        }
    }

    /// <summary>The last lines of output of all processes, for the message of a failure.</summary>
    public string Report() => string.Join("\n\n", Processes.Select(process => process.FormatOutput()));

    public virtual async ValueTask DisposeAsync()
    {
        foreach (ChildProcess process in Processes.Reverse()) await process.DisposeAsync();
        if (_ownsFolder) Directory.Delete(Folder, recursive: true);
        GC.SuppressFinalize(this);
    }

    private string[] CommonArguments =>
        ["--redis", RedisAddress, "--data", DataFolder, .. Prefix is null ? (string[])[] : ["--prefix", Prefix]];
}

/// <summary>A gateway that listens.</summary>
public sealed record GatewayProcess(ChildProcess Process, Uri Grpc, Uri Http);
