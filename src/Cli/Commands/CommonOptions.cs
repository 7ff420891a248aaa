using System.CommandLine;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server.Keys;

namespace Ndif.Cli.Commands;

/// <summary>Options that several commands have, said once.</summary>
internal static class CommonOptions
{
    public static Option<string?> Redis() => new("--redis") { Description = "Address of Redis, as host:port or a StackExchange.Redis connection string. Default: NDIF_REDIS.", DefaultValueFactory = _ => Environment.GetEnvironmentVariable("NDIF_REDIS") };

    public static Option<string> Data() => new("--data") { Description = "Folder for keys and large tensors; processes of one service share it.", DefaultValueFactory = _ => Environment.GetEnvironmentVariable("NDIF_DATA") ?? DefaultDataFolder };

    public static Option<string> Prefix() => new("--prefix") { Description = "What every Redis key begins with; deployments that share a Redis differ in it.", DefaultValueFactory = _ => "ndif:" };

    public static Option<double> Lease() => new("--lease-seconds") { Description = "How long a worker keeps a job without renewing it: a dead worker's jobs run elsewhere after this.", DefaultValueFactory = _ => DefaultLeaseSeconds };

    public static Option<string?> Host() => new("--host", "--service") { Description = $"Address of the service's gateway. Default: NDIF_HOST, the config file, {NdifConfig.DefaultHost}." };

    public static Option<string?> Key() => new("--key") { Description = "API key. Default: NDIF_API_KEY, the config file." };

    public static Option<bool> Json(string what) => new("--json") { Description = $"{what} as JSON on standard output, and nothing else." };

    public static Option<bool> LogJson() => new("--log-json") { Description = "Log lines as JSON objects, for collectors." };

    public static Option<string[]> Model() => new("--model", "-m") { Description = "Id or folder of a model to hold; may be given several times. Default: the bundled ndif/tiny-landmarks.", DefaultValueFactory = _ => ["ndif/tiny-landmarks"] };

    public static Option<string> Device() => new("--device") { Description = "Where weights go: cpu, cuda, cuda:1; cuda:0,cuda:1 share the layers of each model.", DefaultValueFactory = _ => "cpu" };

    public static Option<string> Dtype() => new("--dtype") { Description = "Element type to load weights in: float32, bfloat16, float16. Default: the checkpoint's own.", DefaultValueFactory = _ => "" };

    public static Option<bool> EightBit() => new("--int8") { Description = "Keep the weights of linear layers in eight bits: a quarter of float32's memory, slower, a little off." };

    public static Option<string?> Memory() => new("--memory") { Description = "Bytes for the weights of models on the device: 8GB, 512MiB. Default: on the CPU four fifths of the machine's, elsewhere no bound." };

    public static Option<string?> WarmMemory() => new("--warm-memory") { Description = "Bytes of this machine's memory for models taken off the device, from where they come back fast. Default: none." };

    public static Option<string?> JobMemory() => new("--job-memory") { Description = "Bytes that the values of one job may have at a time. Default: on the CPU a quarter of the machine's, at least 4GiB; elsewhere no bound." };

    public static Option<double> Grace() => new("--grace-seconds") { Description = "How long jobs may still run when it is told to stop; then they go back to the queue.", DefaultValueFactory = _ => 5 };

    /// <summary>Seconds of an option.</summary>
    public static TimeSpan ParseSeconds(ParseResult parsed, Option<double> option) => parsed.GetValue(option) is >= 0 and <= 1e6 and var seconds ? TimeSpan.FromSeconds(seconds)
        : throw new ArgumentException($"{option.Name} is a number of seconds from 0 on.");

    public const double DefaultLeaseSeconds = 30;

    public static QueueBackend CreateQueueBackend(string? redis, string data, string prefix = "ndif:", Microsoft.Extensions.Logging.ILoggerFactory? loggerFactory = null) =>
        CreateQueueBackend(redis, new QueueOptions { Prefix = prefix }, new BlobOptions { Root = Path.Combine(data, "blobs") }, loggerFactory);

    public static QueueBackend CreateQueueBackend(string? redis, QueueOptions options, BlobOptions blobs, Microsoft.Extensions.Logging.ILoggerFactory? loggerFactory = null) =>
        redis is { Length: > 0 } ? QueueBackend.Redis(redis, options, blobs, logs: loggerFactory) : QueueBackend.InMemory(options, blobs, logs: loggerFactory);

    public static IKeyStore CreateKeyStore(QueueBackend backend, string data, string prefix = "ndif:") =>
        backend.Connection is { } connection ? new RedisKeyStore(connection, prefix) : new FileKeyStore(Path.Combine(data, "keys.json"));

    public static Backend GetRemoteBackend(string? host, string? key) => host is null ? (key is null ? true : Ndif.Backend.At(NdifConfig.Host.ToString(), key)) : Ndif.Backend.At(host, key);

    private static string DefaultDataFolder => Path.Combine(
        Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "ndif");
}
