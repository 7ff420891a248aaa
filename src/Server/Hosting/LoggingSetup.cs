using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Serilog;
using Serilog.Core;
using Serilog.Events;
using Serilog.Formatting.Compact;

namespace Ndif.Server.Hosting;

/// <summary>Where log lines go, and in which form.</summary>
public sealed record LogOptions
{
    /// <summary>The least severe line that is written. Default: Information.</summary>
    public LogEventLevel Level { get; init; } = LogEventLevel.Information;

    /// <summary>One JSON object per line on the console, for collectors; otherwise text for people. Default: false.</summary>
    public bool Json { get; init; }

    /// <summary>Also writes JSON lines to this file, a new one each day and every 100 MiB; null for none. Default: null.</summary>
    public string? File { get; init; }

    /// <summary>How many such files are kept. Default: 31.</summary>
    [Range(1, 10_000)]
    public int KeptFiles { get; init; } = 31;
}

/// <summary>
/// Configures Serilog for every process of the service. Structured: a job's lines carry `JobId`. The framework's own lines are cut to
/// what an operator acts on; the gateway logs one line for each request itself (<see cref="RequestLoggingMiddleware"/>).
/// </summary>
public static class LoggingSetup
{
    private const long MaxFileBytes = 100L << 20;
    private const string ConsoleTemplate = "{Timestamp:HH:mm:ss} {Level:u3} {Message:lj}{NewLine}{Exception}";

    /// <param name="sink">One more place for the lines, for a host or a test.</param>
    /// <exception cref="ValidationException">An option is out of bounds.</exception>
    public static Logger Create(LogOptions options, ILogEventSink? sink = null)
    {
        Validator.ValidateObject(options, new ValidationContext(options), validateAllProperties: true);
        LoggerConfiguration log = new LoggerConfiguration()
            .MinimumLevel.Is(options.Level)
            .MinimumLevel.Override("Microsoft", Max(options.Level, LogEventLevel.Warning))
            .MinimumLevel.Override("System", Max(options.Level, LogEventLevel.Warning))
            .MinimumLevel.Override("Microsoft.Extensions.Hosting.Internal.Host", Max(options.Level, LogEventLevel.Fatal)) // who starts the host tells why it did not start
            .MinimumLevel.Override("StackExchange", Max(options.Level, LogEventLevel.Fatal)) // 40 lines of each connection; what cannot be reached, we say
            .MinimumLevel.Override("Grpc", Max(options.Level, LogEventLevel.Fatal)) // a handler's failure is logged by Failures
            .Enrich.FromLogContext();
        log = options.Json
            ? log.WriteTo.Console(new CompactJsonFormatter())
            : log.WriteTo.Console(outputTemplate: ConsoleTemplate, formatProvider: CultureInfo.InvariantCulture);
        if (options.File is { } file)
            log = log.WriteTo.File(
                new CompactJsonFormatter(), file, rollingInterval: RollingInterval.Day, rollOnFileSizeLimit: true, fileSizeLimitBytes: MaxFileBytes,
                retainedFileCountLimit: options.KeptFiles);
        if (sink is not null) log = log.WriteTo.Sink(sink);
        return log.CreateLogger();
    }

    private static LogEventLevel Max(LogEventLevel a, LogEventLevel b) => a > b ? a : b;
}
