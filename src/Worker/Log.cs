using Microsoft.Extensions.Logging;

namespace Ndif.Worker;

/// <summary>The log messages of the worker. Event ids are stable.</summary>
internal static partial class Log
{
    [LoggerMessage(3001, LogLevel.Information, "Loading {Model} to {Device}")]
    public static partial void Loading(ILogger logger, string model, string device);

    [LoggerMessage(3002, LogLevel.Information, "Loaded {Model} in {Seconds:0.00} s")]
    public static partial void Loaded(ILogger logger, string model, double seconds);

    [LoggerMessage(3003, LogLevel.Information, "Job {JobId} runs on {Model}, attempt {Attempt}, one of {Running} that run")]
    public static partial void Started(ILogger logger, string jobId, string model, int attempt, int running);

    [LoggerMessage(3004, LogLevel.Information, "Job {JobId} ended: {Outcome}")]
    public static partial void Ended(ILogger logger, string jobId, string outcome);

    [LoggerMessage(3005, LogLevel.Warning, "The queue cannot be reached: {Reason}")]
    public static partial void QueueUnreachable(ILogger logger, string reason);

    [LoggerMessage(3006, LogLevel.Information, "Evicting {Model}: it accepts no new jobs")]
    public static partial void Evicting(ILogger logger, string model);

    [LoggerMessage(3007, LogLevel.Information, "Evicted {Model} from the device")]
    public static partial void Evicted(ILogger logger, string model);

    [LoggerMessage(3008, LogLevel.Warning, "{Model} cannot be held here: {Reason}")]
    public static partial void LoadFailed(ILogger logger, string model, string reason);

    [LoggerMessage(3009, LogLevel.Warning, "Job {JobId} failed, because no worker can load {Model}: {Reason}")]
    public static partial void Unservable(ILogger logger, string jobId, string model, string reason);

    [LoggerMessage(3010, LogLevel.Warning, "{Warning}")]
    public static partial void ModelWarning(ILogger logger, string warning);
}
