using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using StackExchange.Redis;

namespace Ndif.Queue;

/// <summary>Everything a gateway and its workers share: jobs, large tensors, and who is there.</summary>
public sealed record QueueBackend(IJobQueue Jobs, IBlobStore Blobs, IWorkerRegistry Workers) : IAsyncDisposable
{
    /// <summary>The Redis behind it, for what else belongs there (API keys); null in memory.</summary>
    public IConnectionMultiplexer? Connection { get; init; }

    /// <summary>Of one process: nothing to install. Large tensors still lie in a directory.</summary>
    public static QueueBackend InMemory(
        QueueOptions? options = null, BlobOptions? blobs = null, TimeProvider? time = null, ILoggerFactory? logs = null)
    {
        logs ??= NullLoggerFactory.Instance;
        return new QueueBackend(
            new InMemoryJobQueue(options, time, logs.CreateLogger<InMemoryJobQueue>()),
            new DirectoryBlobStore(blobs, time, logs.CreateLogger<DirectoryBlobStore>()),
            new InMemoryWorkerRegistry(options, time));
    }

    public async ValueTask DisposeAsync()
    {
        await Jobs.DisposeAsync();
        if (Connection is not null) await Connection.DisposeAsync();
    }
}
