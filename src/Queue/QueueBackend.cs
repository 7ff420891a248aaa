using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Queue.Blobs;
using Ndif.Queue.Memory;
using Ndif.Queue.Redis;
using StackExchange.Redis;

namespace Ndif.Queue;

/// <summary>Everything a gateway and its workers share: jobs, large tensors, who is there, and what is wanted.</summary>
public sealed record QueueBackend(IJobQueue Jobs, IBlobStore Blobs, IWorkerRegistry Workers, IDeployments Deployments) : IAsyncDisposable
{
    /// <summary>The Redis behind it, for what else belongs there (API keys); null in memory.</summary>
    public IConnectionMultiplexer? Connection { get; init; }

    /// <summary>Of one process: nothing to install. Large tensors still lie in a directory.</summary>
    public static QueueBackend InMemory(
        QueueOptions? options = null, BlobOptions? blobs = null, TimeProvider? time = null, ILoggerFactory? logs = null)
    {
        logs ??= NullLoggerFactory.Instance;
        var jobs = new InMemoryJobQueue(options, time, logs.CreateLogger<InMemoryJobQueue>());
        return new QueueBackend(
            jobs,
            BlobStores.Open(blobs, time, logs),
            new InMemoryWorkerRegistry(options, time),
            new InMemoryDeployments(jobs, options, time));
    }

    /// <summary>
    /// Of a cluster. Does not wait for Redis: as long as it cannot be reached, every call fails as UNAVAILABLE. Gateways and workers
    /// on several machines share the blobs' directory as a volume, or a bucket.
    /// </summary>
    /// <param name="connectionString">As StackExchange.Redis reads it: "host:6379,password=..."</param>
    public static QueueBackend Redis(
        string connectionString, QueueOptions? options = null, BlobOptions? blobs = null, TimeProvider? time = null, ILoggerFactory? logs = null)
    {
        logs ??= NullLoggerFactory.Instance;
        ConfigurationOptions configuration = ConfigurationOptions.Parse(connectionString);
        configuration.AbortOnConnectFail = false;
        configuration.LoggerFactory ??= logs;
        IConnectionMultiplexer connection = ConnectionMultiplexer.Connect(configuration);
        return new QueueBackend(
            new RedisJobQueue(connection, options, logs.CreateLogger<RedisJobQueue>()),
            BlobStores.Open(blobs, time, logs),
            new RedisWorkerRegistry(connection, options, time),
            new RedisDeployments(connection, options, time, logs.CreateLogger<RedisDeployments>()))
        {
            Connection = connection,
        };
    }

    public async ValueTask DisposeAsync()
    {
        await Jobs.DisposeAsync();
        (Deployments as IDisposable)?.Dispose();
        (Blobs as IDisposable)?.Dispose();
        if (Connection is not null) await Connection.DisposeAsync();
    }
}
