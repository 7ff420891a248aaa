using Microsoft.Extensions.Logging;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server.Keys;

namespace Ndif.Cli.Commands;

/// <summary>Creates the backends that the commands use: the state of a service, and the connection of a client to a service.</summary>
internal static class BackendFactory
{
    /// <param name="redis">The address of Redis; null or empty for the in-memory queue.</param>
    public static QueueBackend CreateQueueBackend(
        string? redis, string data, string prefix = "ndif:", ILoggerFactory? loggerFactory = null) =>
        CreateQueueBackend(
            redis, new QueueOptions { Prefix = prefix }, new BlobOptions { Root = Path.Combine(data, "blobs") }, loggerFactory);

    /// <param name="redis">The address of Redis; null or empty for the in-memory queue.</param>
    public static QueueBackend CreateQueueBackend(
        string? redis, QueueOptions options, BlobOptions blobs, ILoggerFactory? loggerFactory = null) =>
        redis is { Length: > 0 }
            ? QueueBackend.Redis(redis, options, blobs, logs: loggerFactory)
            : QueueBackend.InMemory(options, blobs, logs: loggerFactory);

    /// <summary>Returns the key store of a service: Redis if the service uses it, else a file in the data folder.</summary>
    public static IKeyStore CreateKeyStore(QueueBackend backend, string data, string prefix = "ndif:") =>
        backend.Connection is { } connection
            ? new RedisKeyStore(connection, prefix)
            : new FileKeyStore(Path.Combine(data, "keys.json"));

    /// <summary>Returns the client's connection to the service at this address, with this key. Null means the configured default.</summary>
    public static Backend GetRemoteBackend(string? host, string? key)
    {
        if (host is not null) return Backend.At(host, key);
        return key is null ? true : Backend.At(NdifConfig.Host.ToString(), key);
    }
}
