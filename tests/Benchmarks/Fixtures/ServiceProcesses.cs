using System.Globalization;
using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Processes;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server.Keys;
using StackExchange.Redis;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>A user of the service: the key's public part, by which the queue knows him, and the whole key.</summary>
internal sealed record BenchmarkUser(string Id, string Key)
{
    public Metadata Headers => new() { { "authorization", $"Bearer {Key}" } };
}

/// <summary>The service as an operator runs it, each part a process of its own: redis-server, `ndif serve`, `ndif worker`.</summary>
internal sealed class ServiceProcesses : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("ndif-benchmarks-").FullName;
    private readonly List<ChildProcess> _all = [];
    private ConnectionMultiplexer? _redis;
    private KeyService? _keys;

    private ServiceProcesses() { }

    public ChildProcess Redis { get; private set; } = null!;

    public ChildProcess Gateway { get; private set; } = null!;

    public ChildProcess Worker { get; private set; } = null!;

    public Uri Address { get; private set; } = null!;

    public string RedisAddress { get; private set; } = "";

    public string Data => Path.Combine(_folder, "data");

    /// <summary>The queue that the processes share, as this process sees it.</summary>
    public QueueBackend Backend { get; private set; } = null!;

    public KeyService Keys => _keys!;

    public IKeyStore KeyStore { get; private set; } = null!;

    /// <summary>Starts Redis and a worker, and a gateway unless the caller brings one; returns when the model is loaded.</summary>
    /// <param name="model">Id or folder.</param>
    /// <param name="worker">More arguments of the worker.</param>
    public static async Task<ServiceProcesses> StartAsync(string model = "ndif/tiny-landmarks", bool gateway = true, params string[] worker)
    {
        var service = new ServiceProcesses();
        try
        {
            (service.Redis, service.RedisAddress) = await Processes.RedisProcess.StartAsync(service._folder);
            service._all.Add(service.Redis);
            service._redis = await ConnectionMultiplexer.ConnectAsync(service.RedisAddress);
            service.KeyStore = new RedisKeyStore(service._redis);
            service._keys = new KeyService(service.KeyStore, TimeProvider.System);
            service.Backend = QueueBackend.Redis(service.RedisAddress, blobs: new BlobOptions { Root = Path.Combine(service.Data, "blobs") });
            service.Worker = service.Tool(["worker", "--redis", service.RedisAddress, "--data", service.Data, "--model", model, "--id", "w1", .. worker]);
            if (gateway) await service.StartGatewayAsync();
            await service.Worker.WaitForLineAsync(line => line.StartsWith("worker w1", StringComparison.Ordinal), "that it is ready");
            return service;
        }
        catch
        {
            await service.DisposeAsync();
            throw;
        }
    }

    private async Task StartGatewayAsync()
    {
        Gateway = Tool("serve", "--redis", RedisAddress, "--data", Data, "--port", "0", "--http-port", "0");
        string line = await Gateway.WaitForLineAsync(said => said.StartsWith("gateway ", StringComparison.Ordinal), "its addresses");
        Address = new Uri(line.Split(' ')[1]);
    }

    /// <summary>A new key. The tier `priority` may submit 6000 jobs a minute, the others 600.</summary>
    public async Task<BenchmarkUser> NewUserAsync(string tier = "priority")
    {
        CreatedKey key = await Keys.CreateAsync("benchmarks", [], tier);
        return new BenchmarkUser(key.Record.Id, key.Key.Reveal());
    }

    /// <summary>A connection of its own to the gateway, without the SDK.</summary>
    public static GrpcChannel Connect(Uri address) => GrpcChannel.ForAddress(address, new GrpcChannelOptions
    {
        MaxReceiveMessageSize = null, HttpHandler = new SocketsHttpHandler { EnableMultipleHttp2Connections = true }, DisposeHttpClient = true,
    });

    public async ValueTask DisposeAsync()
    {
        if (Backend is not null) await Backend.DisposeAsync();
        if (_redis is not null) await _redis.DisposeAsync();
        foreach (ChildProcess child in Enumerable.Reverse(_all)) await child.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    private ChildProcess Tool(params string[] arguments)
    {
        ChildProcess child = ChildProcess.Start($"ndif {arguments[0]}", BuildOutput.Dotnet, [BuildOutput.Tool, .. arguments],
            ("XDG_CONFIG_HOME", Path.Combine(_folder, "config")), ("XDG_DATA_HOME", Path.Combine(_folder, "share")));
        _all.Add(child);
        return child;
    }
}

/// <summary>A process's resident memory, as the system counts it.</summary>
internal static class ResidentMemory
{
    /// <summary>VmRSS in bytes.</summary>
    public static double Current(ChildProcess process) => Status(process, "VmRSS");

    /// <summary>VmHWM in bytes: the most since <see cref="ResetPeak"/>.</summary>
    public static double Peak(ChildProcess process) => Status(process, "VmHWM");

    /// <summary>The peak counts from here (proc(5), clear_refs).</summary>
    public static void ResetPeak(ChildProcess process) => File.WriteAllText($"/proc/{process.Id}/clear_refs", "5");

    private static double Status(ChildProcess process, string field)
    {
        string line = File.ReadLines($"/proc/{process.Id}/status").First(l => l.StartsWith(field + ":", StringComparison.Ordinal));
        return 1024 * double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }
}
