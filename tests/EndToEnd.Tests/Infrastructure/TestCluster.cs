using System.Globalization;

namespace Ndif.EndToEnd.Tests.Infrastructure;

/// <summary>
/// A cluster with one gateway, two workers and an API key. Tests may kill any process except Redis; <see cref="EnsureRunningAsync"/> starts
/// the missing processes.
/// </summary>
public class TestCluster : ServiceCluster, IAsyncLifetime
{
    /// <summary>The duration of a lease: after it, another worker can lease the job of a worker that has exited.</summary>
    public const int LeaseSeconds = 3;

    private GatewayProcess? _gateway;
    private int _workersStarted;

    public Uri Grpc => Address.Grpc;

    public Uri Http => Address.Http;

    /// <summary>A key that may run experiments.</summary>
    public string Key { get; private set; } = "";

    public ChildProcess Gateway => Address.Process;

    /// <summary>The running workers by id.</summary>
    public Dictionary<string, ChildProcess> Workers { get; } = [];

    /// <summary>The backend of the cluster's service.</summary>
    public Backend Remote => Backend.At(Grpc.ToString(), Key);

    public async ValueTask InitializeAsync()
    {
        await StartStorageAsync();
        Task<string> key = CreateKeyAsync("tests");
        await EnsureRunningAsync();
        Key = await key;
    }

    /// <summary>Starts the gateway if it does not run, and workers until there are two.</summary>
    public async Task EnsureRunningAsync()
    {
        foreach (string dead in Workers.Where(worker => !worker.Value.IsAlive).Select(worker => worker.Key).ToArray()) Workers.Remove(dead);
        Task gateway = _gateway is { Process.IsAlive: true } ? Task.CompletedTask : StartGatewayAsync();
        await Task.WhenAll(Enumerable.Range(0, 2 - Workers.Count).Select(_ => StartWorkerAsync()).Append(gateway).ToArray());
    }

    /// <summary>Starts the gateway. If it ran before, it uses the same ports.</summary>
    public async Task StartGatewayAsync() => _gateway = await StartGatewayProcessAsync(_gateway?.Grpc.Port ?? 0, _gateway?.Http.Port ?? 0);

    public async Task<ChildProcess> StartWorkerAsync(params string[] extraArguments)
    {
        string id = string.Create(CultureInfo.InvariantCulture, $"w{Interlocked.Increment(ref _workersStarted)}");
        ChildProcess worker =
            await StartWorkerProcessAsync(id, ["--lease-seconds", $"{LeaseSeconds}", "--grace-seconds", "0", .. extraArguments]);
        lock (Workers) Workers.Add(id, worker);
        return worker;
    }

    /// <summary>Starts a client process that uses the service.</summary>
    public ChildProcess StartClient(string key, params string[] arguments) => StartClient(key, [], arguments);

    public ChildProcess StartClient(string key, (string Name, string Value)[] environment, params string[] arguments) =>
        StartProgram($"client {string.Join(' ', arguments)}", BuildOutput.Client, arguments,
            [("NDIF_HOST", Grpc.ToString()), ("NDIF_API_KEY", key), .. environment]);

    /// <summary>Starts Redis and any other storage of the service.</summary>
    protected virtual Task StartStorageAsync() => StartRedisAsync(users: true);

    private GatewayProcess Address => _gateway ?? throw new InvalidOperationException("The gateway is not running.");
}
