using System.CommandLine;

namespace Ndif.Cli.Commands;

/// <summary>The command-line options that several commands share.</summary>
internal static class CommonOptions
{
    public const double DefaultLeaseSeconds = 30;

    private static string DefaultDataFolder => Path.Combine(
        Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "ndif");

    // the service: queue, data, logs

    public static Option<string?> Redis() => new("--redis")
    {
        // no default value: the help would print it with its password
        Description = "Address of Redis: host:port or a StackExchange.Redis connection string. Default: NDIF_REDIS.",
    };

    public static string? GetRedis(ParseResult parsed, Option<string?> redis) =>
        parsed.GetValue(redis) ?? Environment.GetEnvironmentVariable("NDIF_REDIS");

    public static Option<string> Data() => new("--data")
    {
        Description = "Folder for API keys and large tensors. All processes of a service share it.",
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable("NDIF_DATA") ?? DefaultDataFolder,
    };

    public static Option<string> Prefix() => new("--prefix")
    {
        Description = "Prefix of all Redis keys. Services that share a Redis server need different prefixes.",
        DefaultValueFactory = _ => "ndif:",
    };

    public static Option<double> Lease() => new("--lease-seconds")
    {
        Description = "Lease duration: the jobs of a dead worker run elsewhere after this time.",
        DefaultValueFactory = _ => DefaultLeaseSeconds,
    };

    public static Option<bool> LogJson() => new("--log-json") { Description = "Write the log as JSON objects, one per line." };

    // clients

    public static Option<string?> Host() => new("--host", "--service")
    {
        Description = $"Address of the gateway. Default: NDIF_HOST, the config file, {NdifConfig.DefaultHost}.",
    };

    public static Option<string?> Key() => new("--key") { Description = "API key. Default: NDIF_API_KEY, the config file." };

    /// <param name="what">What is written, as the beginning of the description: "The status".</param>
    public static Option<bool> Json(string what) => new("--json") { Description = $"{what} as JSON on standard output." };

    // workers

    public static Option<string[]> Model() => new("--model", "-m")
    {
        Description = "Id, folder or GGUF file of a model to load; may be given several times. Default: the bundled ndif/tiny-landmarks.",
        DefaultValueFactory = _ => ["ndif/tiny-landmarks"],
    };

    public static Option<string> Device() => new("--device")
    {
        Description = "Device of the weights: cpu, cuda, cuda:1; cuda:0,cuda:1 splits the layers of each model.",
        DefaultValueFactory = _ => "cpu",
    };

    public static Option<string> Dtype() => new("--dtype")
    {
        Description = "Element type of the weights: float32, bfloat16, float16. Default: the type of the checkpoint.",
        DefaultValueFactory = _ => "",
    };

    public static Option<bool> EightBit() => new("--int8")
    {
        Description = "Quantize the weights of linear layers to eight bits: a quarter of the memory of float32, slightly inexact.",
    };

    public static Option<string?> Memory() => new("--memory")
    {
        Description = "Memory budget for model weights on the device: 8GB, 512MiB. "
            + "Default: four fifths of the memory on the CPU, unlimited on other devices.",
    };

    public static Option<string?> WarmMemory() => new("--warm-memory")
    {
        Description = "Host memory for models that were evicted from the device, from which they are reloaded quickly. Default: none.",
    };

    public static Option<string?> JobMemory() => new("--job-memory")
    {
        Description = "Memory that the values of one job may use. "
            + "Default: a quarter of the memory on the CPU, at least 4GiB, at most half; unlimited on other devices.",
    };

    public static Option<string?> AllJobsMemory() => new("--all-jobs-memory")
    {
        Description = "Memory that the values of all jobs of the worker may use together; one owner may hold three quarters of it, "
            + "and one job half. Default: twice --job-memory on the CPU; unlimited on other devices.",
    };

    public static Option<string?> CacheMemory() => new("--cache-memory")
    {
        Description = "Memory that the keys and values of all generations of a model may use, those of one owner three quarters; "
            + "a generation waits until its own fit. Default: a quarter of the memory on the CPU, unlimited on other devices.",
    };

    public static Option<string> ReuseMemory() => new("--reuse-memory")
    {
        Description = "Memory of each model in which the outputs, keys and values of layers are kept for later passes over prompts of "
            + "the same owner that begin alike; 0 for none.",
        DefaultValueFactory = _ => "256MiB",
    };

    public static Option<double> Grace() => new("--grace-seconds")
    {
        Description = "How long jobs may still run after the worker is stopped; then they return to the queue.",
        DefaultValueFactory = _ => 5,
    };

    public static Option<double> Unresponsive() => new("--unresponsive-seconds")
    {
        Description = "How long a native call may go on after its jobs were cancelled or are over their limit. Then the worker gives its "
            + "other jobs back, ends with exit code 75, and is started again.",
        DefaultValueFactory = _ => 30,
    };

    public static Option<bool> NoRestart() => new("--no-restart")
    {
        Description = "Run in this process, for an orchestrator that starts it again. By default a child process does the work, and is "
            + "started again when it fails.",
    };

    /// <summary>Returns the value of an option in seconds.</summary>
    /// <exception cref="ArgumentException">The value is out of range.</exception>
    public static TimeSpan ParseSeconds(ParseResult parsed, Option<double> option) =>
        parsed.GetValue(option) is >= 0 and <= 1e6 and var seconds
            ? TimeSpan.FromSeconds(seconds)
            : throw new ArgumentException($"{option.Name} must be a number of seconds that is not negative.");
}
