using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>Every failure the queue, the blob store and the registry can report, with what to do.</summary>
internal static class QueueErrors
{
    public static Exception OtherOwner(string jobId) => Errors.Throwable(ErrorCode.PermissionDenied,
        $"The job id `{jobId}` is already used by somebody else.", "Choose another id, or leave it empty: the service then chooses one.");

    public static Exception TooManyJobs(long active, long most, TimeSpan wait) => Refused(ErrorCode.QuotaExceeded,
        $"{Number(active)} of your jobs wait or run; your key may have {Number(most)} at once.",
        $"Wait until one has ended (try again in {Seconds(wait)} s), cancel one, or put several traces into one session.", wait);

    public static Exception TooOften(long most, TimeSpan wait) => Refused(ErrorCode.QuotaExceeded,
        $"Your key may submit {Number(most)} jobs a minute, and has done so.",
        $"Try again in {Seconds(wait)} s, or put several traces into one session.", wait);

    public static Exception TooManyWaiting(long waiting, long most, TimeSpan wait) => Refused(ErrorCode.QuotaExceeded,
        $"{Number(waiting)} of your jobs wait; your key may fill {Number(most)} places of the queue.",
        $"Try again in {Seconds(wait)} s, or put several traces into one session.", wait);

    public static Exception QueueFull(long waiting, long most, TimeSpan wait) => Refused(ErrorCode.Unavailable,
        $"{Number(waiting)} jobs wait, and this service lets {Number(most)} wait.", $"Try again in {Seconds(wait)} s.", wait);

    /// <summary>To who watched a job at the moment when it was deleted, or who read so slowly that it was forgotten meanwhile.</summary>
    public static Exception Forgotten(string jobId) => Errors.Throwable(ErrorCode.UnknownJob,
        $"The job `{jobId}` was deleted, or has outlived its time, while it was watched.", "What was read so far is all there is. Run the experiment again for the rest.");

    public static Exception UnknownJob(string jobId) => Errors.Throwable(ErrorCode.UnknownJob,
        $"There is no job `{jobId}`.", "Jobs are forgotten some time after their end (a day, unless the service says otherwise). Was it submitted to this service?");

    public static Exception UnknownBlob(string id) => Errors.Throwable(ErrorCode.UnknownBlob,
        $"There is no blob `{id}`.", "Blobs expire when nobody asks for them (after a day, unless the service says otherwise). Upload it again.");

    public static Exception BadBlobLocation(string location, string why) => Errors.Throwable(ErrorCode.BadArgument,
        $"`{location}` is no place for blobs: {why}", "Give a folder, or s3://bucket/prefix?endpoint=http://host:9000&region=us-east-1.");

    public static Exception StoreUnavailable(string operation, Exception inner) => Errors.ToException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = $"The store of large tensors does not answer ({operation}).",
        Hint = "Try again in a moment. An operator looks at the bucket's endpoint, its credentials and what they may do.",
        Retryable = true,
        RetryAfterSeconds = 1,
    }, inner);

    public static Exception BlobCutOff(string id, Exception? inner) => Errors.ToException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = $"The store of large tensors broke off the blob `{id}` again and again.",
        Hint = "Try again in a moment.",
        Retryable = true,
        RetryAfterSeconds = 1,
    }, inner);

    public static Exception BadSubmission(string what, string hint) => Errors.Throwable(ErrorCode.BadArgument, what, hint);

    public static Exception BadDeployment(string what, string hint) => Errors.Throwable(ErrorCode.BadArgument, what, hint);

    public static Exception NotAWorkersEvent(string what) => Errors.Throwable(ErrorCode.BadArgument,
        $"A worker cannot publish {what}.", "It publishes LOADING, RUNNING, one end state, and events that are not states.");

    /// <summary>How a job ends whose workers were all lost.</summary>
    public static Error WorkerLost(int deaths, string worker) => Errors.Make(ErrorCode.WorkerLost,
        $"The job was tried {(deaths == 1 ? "once" : $"{deaths} times")} and each time its worker was lost (the last was `{worker}`).",
        "The program may be what brings the worker down, by its memory for instance: try it with a smaller batch. An operator can queue it again.");

    public static Error Cancelled(string reason) => Errors.Make(ErrorCode.JobCancelled,
        reason.Length > 0 ? $"The job was cancelled: {reason.TrimEnd('.')}." : "The job was cancelled.");

    public static Exception Unavailable(string operation, Exception inner) => Errors.ToException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = $"The queue could not be reached ({operation}).",
        Hint = "Nothing is lost; try again in a moment. An operator looks at Redis first: `ndif doctor`.",
        Retryable = true,
        RetryAfterSeconds = 1,
    }, inner);

    private static NdifException Refused(ErrorCode code, string message, string hint, TimeSpan wait) => new(new Error
    {
        Code = code, Message = message, Hint = hint, Retryable = true, RetryAfterSeconds = Math.Ceiling(wait.TotalSeconds),
    });

    private static string Number(long number) => number.ToString("N0", CultureInfo.InvariantCulture);

    private static string Seconds(TimeSpan wait) => Number((long)Math.Ceiling(wait.TotalSeconds));

    /// <summary>The options, if every bound on them holds.</summary>
    public static T Validated<T>(T options) where T : class
    {
        List<ValidationResult> wrong = [];
        if (Validator.TryValidateObject(options, new ValidationContext(options), wrong, validateAllProperties: true)) return options;
        throw Errors.Throwable(ErrorCode.BadArgument, $"{typeof(T).Name}: {string.Join(" ", wrong.Select(w => w.ErrorMessage))}");
    }
}
