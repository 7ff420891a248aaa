using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Serilog;
using Serilog.Core;
using Serilog.Events;
using Serilog.Formatting.Compact;

namespace Ndif.Server.Hosting;

/// <summary>
/// Configures Serilog for every process of the service. Log events are structured; those of a job have the property `JobId`. The messages
/// of frameworks are limited to warnings, because the gateway logs each request itself (<see cref="RequestLoggingMiddleware"/>).
/// </summary>
public static class LoggingSetup
{
    private const long MaxFileBytes = 100L << 20;
    private const string ConsoleTemplate = "{Timestamp:HH:mm:ss} {Level:u3} {Message:lj}{NewLine}{Exception}";

    /// <summary>Creates the logger.</summary>
    /// <param name="sink">An additional sink, for a host or a test.</param>
    /// <exception cref="ValidationException">An option is out of bounds.</exception>
    public static Logger Create(LogOptions options, ILogEventSink? sink = null)
    {
        Validator.ValidateObject(options, new ValidationContext(options), validateAllProperties: true);
        LoggerConfiguration log = new LoggerConfiguration()
            .MinimumLevel.Is(options.Level)
            .MinimumLevel.Override("Microsoft", Max(options.Level, LogEventLevel.Warning))
            .MinimumLevel.Override("System", Max(options.Level, LogEventLevel.Warning))
            // the code that starts the host reports its failure
            .MinimumLevel.Override("Microsoft.Extensions.Hosting.Internal.Host", Max(options.Level, LogEventLevel.Fatal))
            // StackExchange.Redis writes about 40 lines per connection; our own messages report an unreachable server
            .MinimumLevel.Override("StackExchange", Max(options.Level, LogEventLevel.Fatal))
            // ExceptionTranslator logs the failures of handlers
            .MinimumLevel.Override("Grpc", Max(options.Level, LogEventLevel.Fatal))
            .Enrich.FromLogContext();
        log = options.Json
            ? log.WriteTo.Console(new CompactJsonFormatter())
            : log.WriteTo.Console(outputTemplate: ConsoleTemplate, formatProvider: CultureInfo.InvariantCulture);
        if (options.File is { } file)
            log = log.WriteTo.File(
                new CompactJsonFormatter(), file, rollingInterval: RollingInterval.Day, rollOnFileSizeLimit: true,
                fileSizeLimitBytes: MaxFileBytes, retainedFileCountLimit: options.KeptFiles);
        if (sink is not null) log = log.WriteTo.Sink(sink);
        return log.CreateLogger();
    }

    private static LogEventLevel Max(LogEventLevel a, LogEventLevel b) => a > b ? a : b;
}
