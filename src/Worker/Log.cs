using Microsoft.Extensions.Logging;

namespace Ndif.Worker;

/// <summary>The log messages of the worker. Event ids (2000 to 2999) are stable.</summary>
internal static partial class Log
{
    [LoggerMessage(2001, LogLevel.Information, "Loading {Model} to {Device}")]
    public static partial void Loading(ILogger logger, string model, string device);

    [LoggerMessage(2002, LogLevel.Information, "Loaded {Model} in {Seconds:0.00} s")]
    public static partial void Loaded(ILogger logger, string model, double seconds);

    [LoggerMessage(2003, LogLevel.Information, "Job {JobId} runs on {Model}, attempt {Attempt}, one of {Running} that run")]
    public static partial void Started(ILogger logger, string jobId, string model, int attempt, int running);

    [LoggerMessage(2004, LogLevel.Information, "Job {JobId} ended: {Outcome}")]
    public static partial void Ended(ILogger logger, string jobId, string outcome);

    [LoggerMessage(2011, LogLevel.Warning, "Job {JobId} of {Owner} failed on this worker: {Code}. {Reason}")]
    public static partial void Failed(ILogger logger, string jobId, string owner, string code, string reason);

    [LoggerMessage(2005, LogLevel.Warning, "The queue cannot be reached: {Reason}")]
    public static partial void QueueUnreachable(ILogger logger, string reason);

    [LoggerMessage(2006, LogLevel.Information, "Evicting {Model}: it accepts no new jobs")]
    public static partial void Evicting(ILogger logger, string model);

    [LoggerMessage(2007, LogLevel.Information, "Evicted {Model} from the device")]
    public static partial void Evicted(ILogger logger, string model);

    [LoggerMessage(2008, LogLevel.Warning, "{Model} cannot be held here: {Reason}")]
    public static partial void LoadFailed(ILogger logger, string model, string reason);

    [LoggerMessage(2009, LogLevel.Warning, "Job {JobId} failed, because no worker can load {Model}: {Reason}")]
    public static partial void Unservable(ILogger logger, string jobId, string model, string reason);

    [LoggerMessage(2012, LogLevel.Critical, "Job {JobId} of {Owner} does not end: {Work} on {Model} has run for {Seconds:0.0} s since the "
        + "job was stopped. The worker gives its other jobs back and ends")]
    public static partial void Unresponsive(ILogger logger, string jobId, string owner, string model, string work, double seconds);

    [LoggerMessage(2013, LogLevel.Error, "The queue was not told of the end of the worker's jobs, whose leases expire: {Reason}")]
    public static partial void UnresponsiveNotNoted(ILogger logger, string reason);

    [LoggerMessage(2010, LogLevel.Warning, "{Warning}")]
    public static partial void ModelWarning(ILogger logger, string warning);
}
