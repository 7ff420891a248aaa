using System.Globalization;
using Ndif.Protocol;
using Ndif.Queue.Rules;

namespace Ndif.Queue;

/// <summary>Creates the errors of the queue, the blob stores and the registry. Each one says what to do.</summary>
internal static class QueueErrors
{
    public static Exception JobIdTaken(string jobId) => Errors.CreateException(ErrorCode.PermissionDenied,
        $"The job id `{QueueJobIds.GetOwnersId(jobId)}` is used by another key.",
        "Choose another id, or leave it empty to let the service choose one.");

    public static Exception TooManyJobs(long active, long limit, TimeSpan retryAfter) => LimitReached(ErrorCode.QuotaExceeded,
        $"{FormatNumber(active)} of your jobs wait or run; your key may have {FormatNumber(limit)} at once.",
        $"Wait until one has ended (try again in {FormatSeconds(retryAfter)} s), cancel one, or put several traces into one session.",
        retryAfter);

    public static Exception RateExceeded(long limit, TimeSpan retryAfter) => LimitReached(ErrorCode.QuotaExceeded,
        $"Your key may submit {FormatNumber(limit)} jobs a minute, and has done so.",
        $"Try again in {FormatSeconds(retryAfter)} s, or put several traces into one session.", retryAfter);

    public static Exception TooManyWaiting(long waiting, long limit, TimeSpan retryAfter) => LimitReached(ErrorCode.QuotaExceeded,
        $"{FormatNumber(waiting)} of your jobs wait; your key may fill {FormatNumber(limit)} places of the queue.",
        $"Try again in {FormatSeconds(retryAfter)} s, or put several traces into one session.", retryAfter);

    public static Exception QueueFull(long waiting, long limit, TimeSpan retryAfter) => LimitReached(ErrorCode.Unavailable,
        $"{FormatNumber(waiting)} jobs wait, and this service lets {FormatNumber(limit)} wait.",
        $"Try again in {FormatSeconds(retryAfter)} s.", retryAfter);

    public static NdifException TooManyQueueBytes(long used, long limit) => (NdifException)Errors.CreateException(ErrorCode.QuotaExceeded,
        $"The programs and events of your jobs take {FormatNumber(used)} bytes of the queue; your key may have {FormatNumber(limit)}.",
        "Delete jobs that you no longer need (`ndif jobs delete ID`), or wait until old ones are deleted (by default a day after their "
        + "end). A job with fewer saves, log lines and tokens takes less; `ndif usage` shows what your key stores.");

    public static NdifException TooManyBlobBytes(long used, long limit) => (NdifException)Errors.CreateException(ErrorCode.QuotaExceeded,
        $"Your results and uploaded constants take {FormatNumber(used)} bytes; your key may store {FormatNumber(limit)}.",
        "Delete jobs whose results you no longer need (`ndif jobs delete ID`), or wait until old ones are deleted (by default after a "
        + "day). Save less, or in a narrower type; `ndif usage` shows what your key stores.");

    /// <summary>The limit of all owners together.</summary>
    public static NdifException StorageFull(bool isQueue, long limit) => LimitReached(ErrorCode.Unavailable,
        $"The {(isQueue ? "jobs" : "results and uploads")} of all keys take what this service may store, {FormatNumber(limit)} bytes.",
        "Try again later: what is old is deleted. Deleting jobs that you no longer need helps (`ndif jobs delete ID`). Operators: raise "
        + $"Gateway:{(isQueue ? "TotalQueueBytes, with the maxmemory of Redis" : "TotalBlobBytes, with the disk")}, or shorten "
        + "Queue:Retention.",
        TimeSpan.FromMinutes(1));

    /// <summary>Ends the stream of a job that was deleted, or passed its retention time, while its events were read.</summary>
    public static Exception JobDeletedWhileWatched(string jobId) => Errors.CreateException(ErrorCode.UnknownJob,
        $"The job `{QueueJobIds.GetOwnersId(jobId)}` was deleted, or passed its retention time, while its events were read.",
        "The events read so far are all there are. Run the experiment again to get the rest.");

    public static Exception UnknownJob(string jobId) => Errors.CreateException(ErrorCode.UnknownJob,
        $"There is no job `{QueueJobIds.GetOwnersId(jobId)}`.",
        "Jobs are deleted some time after their end (by default after a day). Check that it was submitted to this service.");

    public static Exception UnknownBlob(string id) => Errors.CreateException(ErrorCode.UnknownBlob,
        $"There is no blob `{id}`.", "Blobs expire when they are not used (by default after a day). Upload it again.");

    public static Exception BadBlobLocation(string location, string why) => Errors.CreateException(ErrorCode.BadArgument,
        $"`{location}` is not a valid blob location: {why}",
        "Use a folder, or s3://bucket/prefix?endpoint=http://host:9000&region=us-east-1.");

    public static Exception StoreUnavailable(string operation, Exception inner) => Errors.ToException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = $"The blob store does not respond ({operation}).",
        Hint = "Try again in a moment. Operators: check the endpoint of the bucket, the credentials and their permissions.",
        Retryable = true,
        RetryAfterSeconds = 1,
    }, inner);

    public static Exception BlobReadInterrupted(string id, Exception? inner) => Errors.ToException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = $"The connection to the blob store broke repeatedly while blob `{id}` was read.",
        Hint = "Try again in a moment.",
        Retryable = true,
        RetryAfterSeconds = 1,
    }, inner);

    public static Exception BadSubmission(string what, string hint) => Errors.CreateException(ErrorCode.BadArgument, what, hint);

    public static Exception BadDeployment(string what, string hint) => Errors.CreateException(ErrorCode.BadArgument, what, hint);

    public static Exception EditsNameTaken(string name) => Errors.CreateException(ErrorCode.BadArgument,
        $"Another key has published edits as `{name}` for everyone.", "Choose another name, or publish them for your key only.");

    public static Exception TooManyEdits(int limit) => Errors.CreateException(ErrorCode.QuotaExceeded,
        $"Your key has published edits under {FormatNumber(limit)} names, which is the most it may have.",
        "Delete some: `ndif edits delete NAME`.");

    public static Exception InvalidWorkerEvent(string what) => Errors.CreateException(ErrorCode.BadArgument,
        $"A worker cannot publish {what}.", "It may publish LOADING, RUNNING, one terminal state, and events that are not states.");

    /// <summary>The outcome of a job whose leases were all lost.</summary>
    public static Error WorkerLost(int lostLeases, string worker) => Errors.Create(ErrorCode.WorkerLost,
        $"The job ran {(lostLeases == 1 ? "once" : $"{lostLeases} times")} and lost its worker each time (the last one was `{worker}`).",
        "The program may crash the worker, for example by running out of memory: try a smaller batch. An operator can requeue the job.");

    public static Error Cancelled(string reason) => Errors.Create(ErrorCode.JobCancelled,
        reason.Length > 0 ? $"The job was cancelled: {reason.TrimEnd('.')}." : "The job was cancelled.");

    public static Exception JobIdReused(string jobId) => Errors.CreateException(ErrorCode.BadArgument,
        $"The job id `{QueueJobIds.GetOwnersId(jobId)}` was used before, for another program.",
        "Submitting a job again returns the first job only if the program is the same. Choose another id, or leave it empty to let the "
        + "service choose one.");

    public static Exception OwnerClosed() => Errors.CreateException(ErrorCode.Unauthenticated,
        "Your API key was revoked.", "Ask the operator of the service for another key.");

    /// <summary>Ends the stream of a job whose last events the store has lost, although the reader has received them.</summary>
    public static Exception EventsLost(string jobId) => Errors.CreateException(ErrorCode.UnknownJob,
        $"The queue was restored to an earlier state, and the last events of the job `{QueueJobIds.GetOwnersId(jobId)}` are lost.",
        "The job may have ended otherwise than you have read. Run the experiment again.");

    /// <summary>An error of Redis that does not pass by itself: damaged data, or a defect of this software.</summary>
    public static Exception CommandFailed(string operation, Exception inner) => Errors.ToException(new Error
    {
        Code = ErrorCode.Internal,
        Message = $"The queue could not execute a command ({operation}).",
        Hint = "Report it to the operators of the service. Operators: the log has the error of Redis.",
    }, inner);

    /// <param name="cause">Why, in a few words; null if only the connection failed.</param>
    public static Exception Unavailable(string operation, Exception inner, string? cause = null) => Errors.ToException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = $"The queue could not be reached ({operation}){(cause is null ? "" : $": {cause}")}.",
        Hint = "No data is lost; try again in a moment. Operators: `ndif doctor --redis ...` says what is wrong.",
        Retryable = true,
        RetryAfterSeconds = 1,
    }, inner);

    private static NdifException LimitReached(ErrorCode code, string message, string hint, TimeSpan retryAfter) => new(new Error
    {
        Code = code, Message = message, Hint = hint, Retryable = true, RetryAfterSeconds = Math.Ceiling(retryAfter.TotalSeconds),
    });

    private static string FormatNumber(long number) => number.ToString("N0", CultureInfo.InvariantCulture);

    private static string FormatSeconds(TimeSpan time) => FormatNumber((long)Math.Ceiling(time.TotalSeconds));
}
