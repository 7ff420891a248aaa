using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>Every failure the queue, the blob store and the registry can report, with what to do.</summary>
internal static class QueueErrors
{
    public static Exception JobIdTaken(string jobId) => Errors.CreateException(ErrorCode.PermissionDenied,
        $"The job id `{jobId}` is already used by somebody else.", "Choose another id, or leave it empty: the service then chooses one.");

    public static Exception TooManyJobs(long active, long limit, TimeSpan retryAfter) => LimitReached(ErrorCode.QuotaExceeded,
        $"{FormatNumber(active)} of your jobs wait or run; your key may have {FormatNumber(limit)} at once.",
        $"Wait until one has ended (try again in {FormatSeconds(retryAfter)} s), cancel one, or put several traces into one session.", retryAfter);

    public static Exception RateExceeded(long limit, TimeSpan retryAfter) => LimitReached(ErrorCode.QuotaExceeded,
        $"Your key may submit {FormatNumber(limit)} jobs a minute, and has done so.",
        $"Try again in {FormatSeconds(retryAfter)} s, or put several traces into one session.", retryAfter);

    public static Exception TooManyWaiting(long waiting, long limit, TimeSpan retryAfter) => LimitReached(ErrorCode.QuotaExceeded,
        $"{FormatNumber(waiting)} of your jobs wait; your key may fill {FormatNumber(limit)} places of the queue.",
        $"Try again in {FormatSeconds(retryAfter)} s, or put several traces into one session.", retryAfter);

    public static Exception QueueFull(long waiting, long limit, TimeSpan retryAfter) => LimitReached(ErrorCode.Unavailable,
        $"{FormatNumber(waiting)} jobs wait, and this service lets {FormatNumber(limit)} wait.", $"Try again in {FormatSeconds(retryAfter)} s.", retryAfter);

    /// <summary>To who watched a job at the moment when it was deleted, or who read so slowly that it was forgotten meanwhile.</summary>
    public static Exception JobDeletedWhileWatched(string jobId) => Errors.CreateException(ErrorCode.UnknownJob,
        $"The job `{jobId}` was deleted, or has outlived its time, while it was watched.", "What was read so far is all there is. Run the experiment again for the rest.");

    public static Exception UnknownJob(string jobId) => Errors.CreateException(ErrorCode.UnknownJob,
        $"There is no job `{jobId}`.", "Jobs are forgotten some time after their end (a day, unless the service says otherwise). Was it submitted to this service?");

    public static Exception UnknownBlob(string id) => Errors.CreateException(ErrorCode.UnknownBlob,
        $"There is no blob `{id}`.", "Blobs expire when nobody asks for them (after a day, unless the service says otherwise). Upload it again.");

    public static Exception BadBlobLocation(string location, string why) => Errors.CreateException(ErrorCode.BadArgument,
        $"`{location}` is no place for blobs: {why}", "Give a folder, or s3://bucket/prefix?endpoint=http://host:9000&region=us-east-1.");

    public static Exception StoreUnavailable(string operation, Exception inner) => Errors.ToException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = $"The store of large tensors does not answer ({operation}).",
        Hint = "Try again in a moment. An operator looks at the bucket's endpoint, its credentials and what they may do.",
        Retryable = true,
        RetryAfterSeconds = 1,
    }, inner);

    public static Exception BlobReadInterrupted(string id, Exception? inner) => Errors.ToException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = $"The store of large tensors broke off the blob `{id}` again and again.",
        Hint = "Try again in a moment.",
        Retryable = true,
        RetryAfterSeconds = 1,
    }, inner);

    public static Exception BadSubmission(string what, string hint) => Errors.CreateException(ErrorCode.BadArgument, what, hint);

    public static Exception BadDeployment(string what, string hint) => Errors.CreateException(ErrorCode.BadArgument, what, hint);

    public static Exception InvalidWorkerEvent(string what) => Errors.CreateException(ErrorCode.BadArgument,
        $"A worker cannot publish {what}.", "It publishes LOADING, RUNNING, one end state, and events that are not states.");

    /// <summary>How a job ends whose workers were all lost.</summary>
    public static Error WorkerLost(int lostLeases, string worker) => Errors.Create(ErrorCode.WorkerLost,
        $"The job was tried {(lostLeases == 1 ? "once" : $"{lostLeases} times")} and each time its worker was lost (the last was `{worker}`).",
        "The program may be what brings the worker down, by its memory for instance: try it with a smaller batch. An operator can queue it again.");

    public static Error Cancelled(string reason) => Errors.Create(ErrorCode.JobCancelled,
        reason.Length > 0 ? $"The job was cancelled: {reason.TrimEnd('.')}." : "The job was cancelled.");

    public static Exception Unavailable(string operation, Exception inner) => Errors.ToException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = $"The queue could not be reached ({operation}).",
        Hint = "Nothing is lost; try again in a moment. An operator looks at Redis first: `ndif doctor`.",
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
