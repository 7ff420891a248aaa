using Microsoft.Extensions.Logging;

namespace Ndif.Queue;

/// <summary>The log messages of the queue. Event ids (1000 to 1999) are stable. No argument ever contains a program, a value or an API
/// key.</summary>
internal static partial class Log
{
    [LoggerMessage(1001, LogLevel.Debug, "Job {JobId} queued for {Model} at position {Position}")]
    public static partial void JobQueued(ILogger logger, string jobId, string model, uint position);

    [LoggerMessage(1002, LogLevel.Debug, "Job {JobId} leased to {Worker}, attempt {Attempt}, token {Token}")]
    public static partial void JobLeased(ILogger logger, string jobId, string worker, int attempt, long token);

    [LoggerMessage(1003, LogLevel.Information, "Job {JobId} ended as {State}")]
    public static partial void JobEnded(ILogger logger, string jobId, Protocol.JobState state);

    [LoggerMessage(
        1004, LogLevel.Warning, "Job {JobId} lost its worker {Worker} (lost lease {LostLeases}); it returns to the front of the queue")]
    public static partial void LeaseExpired(ILogger logger, string jobId, string worker, int lostLeases);

    [LoggerMessage(
        1005, LogLevel.Error, "Job {JobId} lost its worker {Worker}; it failed after {LostLeases} lost leases and is a dead letter")]
    public static partial void DeadLetter(ILogger logger, string jobId, string worker, int lostLeases);

    [LoggerMessage(1006, LogLevel.Warning, "Worker {Worker} no longer holds job {JobId} (token {Token}); its event was refused")]
    public static partial void EventFenced(ILogger logger, string jobId, string worker, long token);

    [LoggerMessage(1007, LogLevel.Debug, "Worker {Worker} returned job {JobId} to the queue")]
    public static partial void JobReturned(ILogger logger, string jobId, string worker);

    [LoggerMessage(1008, LogLevel.Information, "Deleted {Count} expired blobs")]
    public static partial void BlobsSwept(ILogger logger, int count);

    [LoggerMessage(1009, LogLevel.Information, "Dead letter {JobId} queued again as {NewJobId}")]
    public static partial void Requeued(ILogger logger, string jobId, string newJobId);

    [LoggerMessage(1011, LogLevel.Information, "Job {JobId} and its events were deleted")]
    public static partial void JobDeleted(ILogger logger, string jobId);

    [LoggerMessage(1012, LogLevel.Warning, "The {Task} waits: {Reason} It is tried again until it succeeds")]
    public static partial void LoopWaits(ILogger logger, string task, string reason);

    [LoggerMessage(1013, LogLevel.Error, "The {Task} failed; it is tried again")]
    public static partial void LoopFailed(ILogger logger, string task, Exception exception);

    [LoggerMessage(1014, LogLevel.Information, "The {Task} goes on after {Seconds:0.0} s")]
    public static partial void LoopRecovered(ILogger logger, string task, double seconds);

    [LoggerMessage(1010, LogLevel.Warning, "Redis connection restored; all waiting callers check for changes again")]
    public static partial void ConnectionRestored(ILogger logger);
}
