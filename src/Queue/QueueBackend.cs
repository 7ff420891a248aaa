using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Queue.Blobs;
using Ndif.Queue.Memory;
using Ndif.Queue.Redis;
using StackExchange.Redis;

namespace Ndif.Queue;

/// <summary>The state that the gateway and its workers share: jobs, blobs, live workers, deployments and published edits.</summary>
public sealed record QueueBackend(IJobQueue Jobs, IBlobStore Blobs, IWorkerRegistry Workers, IDeployments Deployments) : IAsyncDisposable
{
    /// <summary>The edits of models that keys have published.</summary>
    public required IPublishedEdits Edits { get; init; }

    /// <summary>The Redis connection, which the gateway also uses for API keys; null for the in-memory backend.</summary>
    public IConnectionMultiplexer? Connection { get; init; }

    /// <summary>The folder of the blobs; null if they are in a bucket.</summary>
    public string? BlobFolder => (Blobs as DirectoryBlobStore)?.Folder;

    /// <summary>The clock of the service: that of Redis, so that all processes agree whatever the clocks of their machines show.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>Creates the backend of a single process, which needs no Redis. Blobs are still stored in a directory.</summary>
    public static QueueBackend InMemory(
        QueueOptions? options = null, BlobOptions? blobs = null, TimeProvider? time = null, ILoggerFactory? logs = null)
    {
        logs ??= NullLoggerFactory.Instance;
        var jobs = new InMemoryJobQueue(options, time, logs.CreateLogger<InMemoryJobQueue>());
        return new QueueBackend(
            jobs,
            BlobStores.Open(blobs, time, logs),
            new InMemoryWorkerRegistry(options, time),
            new InMemoryDeployments(jobs, options, time))
        {
            Edits = new InMemoryPublishedEdits(jobs.Accounts), Clock = time ?? TimeProvider.System,
        };
    }

    /// <summary>
    /// Creates the backend of a cluster. It does not wait for Redis: calls fail as UNAVAILABLE while Redis cannot be reached. Gateways
    /// and workers on several machines share the blob directory as a volume, or a bucket.
    /// </summary>
    /// <param name="connectionString">A StackExchange.Redis connection string: "host:6379,password=..."</param>
    public static QueueBackend Redis(
        string connectionString, QueueOptions? options = null, BlobOptions? blobs = null, TimeProvider? time = null,
        ILoggerFactory? logs = null)
    {
        logs ??= NullLoggerFactory.Instance;
        ConfigurationOptions configuration = ConfigurationOptions.Parse(connectionString);
        configuration.AbortOnConnectFail = false;
        configuration.LoggerFactory ??= logs;
        IConnectionMultiplexer connection = ConnectionMultiplexer.Connect(configuration);
        TimeProvider clock = time ?? new RedisClock(connection);
        return new QueueBackend(
            new RedisJobQueue(connection, options, logs.CreateLogger<RedisJobQueue>(), clock),
            BlobStores.Open(blobs, time, logs),
            new RedisWorkerRegistry(connection, options, clock),
            new RedisDeployments(connection, options, clock, logs.CreateLogger<RedisDeployments>()))
        {
            Edits = new RedisPublishedEdits(connection, options), Connection = connection, Clock = clock,
        };
    }

    public async ValueTask DisposeAsync()
    {
        await Jobs.DisposeAsync();
        (Deployments as IDisposable)?.Dispose();
        (Blobs as IDisposable)?.Dispose();
        (Clock as IDisposable)?.Dispose();
        if (Connection is not null) await Connection.DisposeAsync();
    }
}
