using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server.Keys;
using StackExchange.Redis;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>A user of the service: the key's public part, which identifies the owner in the queue, and the whole key.</summary>
internal sealed record BenchmarkUser(string Id, string Key)
{
    public Metadata Headers => new() { { "authorization", $"Bearer {Key}" } };
}

/// <summary>
/// A cluster of redis-server, at most one gateway and one worker, with connections of this process to the queue and the keys.
/// </summary>
internal sealed class BenchmarkCluster : ServiceCluster
{
    private ConnectionMultiplexer? _redis;
    private KeyService? _keys;

    private BenchmarkCluster() { }

    public ChildProcess Gateway { get; private set; } = null!;

    public ChildProcess Worker { get; private set; } = null!;

    public Uri Address { get; private set; } = null!;

    /// <summary>The address for HTTP/1.1: status, metrics and dashboard.</summary>
    public Uri HttpAddress { get; private set; } = null!;

    /// <summary>This process's connection to the queue of the cluster.</summary>
    public QueueBackend Backend { get; private set; } = null!;

    public KeyService Keys => _keys!;

    public IKeyStore KeyStore { get; private set; } = null!;

    /// <summary>Starts Redis and a worker, and a gateway unless the caller starts one itself; returns when the model is loaded.</summary>
    /// <param name="model">The id or folder of the model.</param>
    /// <param name="worker">Additional arguments of the worker.</param>
    public static async Task<BenchmarkCluster> StartAsync(string model = "ndif/tiny-landmarks", bool gateway = true, params string[] worker)
    {
        var cluster = new BenchmarkCluster();
        try
        {
            await cluster.StartRedisAsync();
            cluster._redis = await ConnectionMultiplexer.ConnectAsync(cluster.RedisAddress);
            cluster.KeyStore = new RedisKeyStore(cluster._redis);
            cluster._keys = new KeyService(cluster.KeyStore, TimeProvider.System);
            cluster.Backend =
                QueueBackend.Redis(cluster.RedisAddress, blobs: new BlobOptions { Root = Path.Combine(cluster.DataFolder, "blobs") });
            Task<ChildProcess> started = cluster.StartWorkerProcessAsync("w1", ["--model", model, .. worker]);
            if (gateway) (cluster.Gateway, cluster.Address, cluster.HttpAddress) = await cluster.StartGatewayProcessAsync();
            cluster.Worker = await started;
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Creates a key. The tier `priority` may submit 6000 jobs a minute, the others 600.</summary>
    public async Task<BenchmarkUser> NewUserAsync(string tier = "priority")
    {
        CreatedKey key = await Keys.CreateAsync("benchmarks", [], tier);
        return new BenchmarkUser(key.Record.Id, key.Key.Reveal());
    }

    /// <summary>Opens a separate connection to the gateway, without the SDK.</summary>
    public static GrpcChannel Connect(Uri address) => GrpcChannel.ForAddress(address, new GrpcChannelOptions
    {
        MaxReceiveMessageSize = null, HttpHandler = new SocketsHttpHandler
        {
            EnableMultipleHttp2Connections = true,
        }, DisposeHttpClient = true,
    });

    public override async ValueTask DisposeAsync()
    {
        if (Backend is not null) await Backend.DisposeAsync();
        if (_redis is not null) await _redis.DisposeAsync();
        await base.DisposeAsync();
    }
}
