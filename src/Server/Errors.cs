using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Server;

/// <summary>Every refusal of the gateway: its code, a sentence, what to do. How they travel: <see cref="ErrorWire"/>.</summary>
internal static class ServerErrors
{
    private const string MakeKey = "Ask your operator for a key (`ndif keys create`), then set NDIF_API_KEY.";

    // keys

    public static Exception MissingKey() => Errors.Throwable(
        ErrorCode.Unauthenticated, "This service needs a key, and the call has none.",
        $"Send the metadata `authorization: Bearer <key>`. {MakeKey}");

    public static Exception MalformedKey() => Errors.Throwable(
        ErrorCode.Unauthenticated, "This is not a key: one reads `ndif_`, 8 letters or digits, `_` and 43 more characters.",
        $"Copy the whole key, without quotes or line breaks. {MakeKey}");

    public static Exception WrongKey() => Errors.Throwable(
        ErrorCode.Unauthenticated, "This service does not know the key.",
        $"Check that the key belongs to this address. {MakeKey}");

    public static Exception RevokedKey(string id, DateTimeOffset at) => Errors.Throwable(
        ErrorCode.Unauthenticated, $"The key {id} was revoked on {Day(at)}.", MakeKey);

    public static Exception ExpiredKey(string id, DateTimeOffset at) => Errors.Throwable(
        ErrorCode.Unauthenticated, $"The key {id} expired on {Day(at)}.", MakeKey);

    public static Exception MissingScope(Caller caller, string scope) => Errors.Throwable(
        ErrorCode.PermissionDenied, $"The key {caller.Id} has no scope `{scope}`.",
        $"It has {Names(caller.Scopes)}. Ask your operator for a key with `{scope}`.");

    public static Exception ModelNotAllowed(Caller caller, string model) => Errors.Throwable(
        ErrorCode.PermissionDenied, $"The key {caller.Id} may not use the model `{model}`.",
        $"It may use {Names(caller.Models)}. Ask your operator for one that may.");

    public static Exception BadKeyName(int most) => BadArgument($"A key needs a name of 1 to {most} characters, none of them a line break or another control character.", "Say whose it is.");

    public static Exception UnknownScope(string scope) => BadArgument(
        $"There is no scope `{Short(scope)}`.", $"Scopes are {Names(Scopes.All)}.");

    public static Exception UnknownTier(string tier, IEnumerable<string> tiers) => BadArgument(
        $"There is no tier `{Short(tier)}`.", $"Tiers are {Names(tiers)}.");

    public static Exception BadLifetime() => BadArgument("A key's lifetime must be above 0 and below 100 years.", "Leave it out for a key that does not expire.");

    public static Exception UnknownKeyId(string id) => BadArgument(
        $"There is no key `{Short(id)}`.", "List the keys with `ndif keys list`; the id is the first column.");

    public static Exception BrokenKeyFile(string path, Exception inner) => Errors.Throwable(
        ErrorCode.CorruptData, $"The key file `{path}` is not valid JSON.", "Restore it from a backup, or delete it and make new keys.", inner: inner);

    // jobs

    /// <summary>The same for a job that is not there and for another owner's: ids tell nothing.</summary>
    public static Exception UnknownJob(string id) => Errors.Throwable(
        ErrorCode.UnknownJob, $"There is no job `{Short(id)}` of yours.", "Finished jobs are forgotten after a while. `ndif jobs` lists yours.");

    public static Exception BadDay(string text) => BadArgument($"`{Short(text)}` is no day.", "Write 2026-11-23.");

    public static Exception NotYourUsage() => Errors.Throwable(
        ErrorCode.PermissionDenied, "What another key has used is for administrators.", "Leave the key out, or ask Admin.GetUsage with a key that has the scope `admin`.");

    public static Exception UnknownDeadLetter(string id) => Errors.Throwable(
        ErrorCode.UnknownJob, $"There is no dead letter `{Short(id)}`.",
        "`ndif jobs dead` lists them. One that was queued again, or is older than the service remembers, is none any more.");

    public static Exception BadJobId() => BadArgument(
        "A job id is 1 to 64 letters, digits and `-`.", "Choose another, or leave it empty to be given one.");

    public static Exception NoSubmission() => Invalid(
        "A Run stream must start with `submit`.", "Send the program first; call-back replies, cancel and detach come after it.");

    public static Exception SecondSubmission() => Invalid("A Run stream carries one `submit`.", "Open another stream for another job.");

    public static Exception DryRunOnRun() => Invalid("A dry run has no events to stream.", "Call Submit with `dry_run`.");

    public static Exception NoProgram() => Invalid("The submission holds no program.");

    public static Exception MissingFeature(string feature, IEnumerable<string> features) => Errors.Throwable(
        ErrorCode.Unsupported, $"The program needs the feature `{Short(feature)}`, which this service lacks.",
        $"It has {Names(features)}. Update the service, or use an older client.");

    public static Exception BadTimeout(TimeSpan most) => BadArgument(
        $"A time limit must be from 0 to {most.TotalSeconds:0} seconds.", "0 asks for the service's own limit.");

    public static Exception OverLimit(string what, long amount, long most, string hint) => Errors.Throwable(
        ErrorCode.LimitExceeded, $"The program has {Number(amount)} {what}; your key may have {Number(most)}.", hint);

    public static Exception UnknownModel(string model, IReadOnlyCollection<string> served)
    {
        string near = Nearest.Model(model, served);
        string list = served.Count == 0
            ? "No worker serves a model at the moment."
            : $"Served are {Names(served.Order(StringComparer.Ordinal).Take(8))}{(served.Count > 8 ? " and others" : "")}.";
        return Errors.Throwable(
            ErrorCode.UnknownModel, $"This service has no model `{Short(model)}`.", near.Length > 0 ? $"{near} {list}" : list);
    }

    public static Exception NotDescribed(string model) => new NdifException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = $"The model `{model}` is announced, but no worker has described it yet.",
        Hint = "Try again in a moment.",
        Retryable = true,
        RetryAfterSeconds = 1,
    });

    public static Exception NoModelName() => Errors.Throwable(
        ErrorCode.UnknownModel, "The program names no model, or its name is longer than 256 characters.", "Name one that ListModels lists.");

    // operating

    public static Exception UnknownDeployment(string name, IReadOnlyCollection<string> there)
    {
        string near = Nearest.Model(name, there);
        return Errors.Throwable(ErrorCode.UnknownModel, $"Nobody deployed `{Short(name)}`, and no worker holds it.", near.Length > 0 ? near : "`ndif models list` shows what is there.");
    }

    public static Exception UnknownWorker(string worker, IEnumerable<string> living)
    {
        string near = Errors.DidYouMean(worker.Length <= 100 ? worker : "", living);
        return BadArgument($"There is no worker `{Short(worker)}`.", near.Length > 0 ? near : "`ndif status` lists those that are alive.");
    }

    public static Exception NotHeldThere(string name, string worker) => Errors.Throwable(
        ErrorCode.UnknownModel, $"Worker `{Short(worker)}` does not hold `{Short(name)}`.", "`ndif status` shows what each worker holds.");

    public static Exception BadDeployedType(DataType dtype) => BadArgument(
        $"Weights cannot be loaded as {dtype.ToString().ToLowerInvariant()}.", "Types are float32, bfloat16 and float16; leave it out for the checkpoint's own.");

    public static Error TakenOff(string name) => Errors.Make(ErrorCode.UnknownModel,
        $"An operator has taken `{name}` off the service before the job ran.", "`ndif models` lists what is served.");

    // blobs

    public static Exception UnknownBlob(string id) => Errors.Throwable(
        ErrorCode.UnknownBlob, $"There is no blob `{Short(id)}` that you may read.",
        "Results and constants are kept for a limited time: run the job again, or upload the constant again.");

    public static Exception BadRange(ulong offset, long length) => Errors.Throwable(
        ErrorCode.IndexOutOfRange, $"Offset {offset} lies beyond the blob's {length} bytes.");

    public static Exception WrongChecksum(string claimed, string actual) => Errors.Throwable(
        ErrorCode.CorruptData, $"The bytes received hash to {actual}, not to {Short(claimed)}.",
        "A blob's id is the lower-case hex SHA-256 of its bytes. Upload it again.");

    public static Exception WrongLength(string id, ulong claimed, long actual) => Errors.Throwable(
        ErrorCode.CorruptData, $"The constant {Short(id)} has {actual} bytes, not {claimed}.");

    public static Exception ChunkGap(ulong expected, ulong got) => Errors.Throwable(
        ErrorCode.CorruptData, $"A chunk at offset {got} came where offset {expected} was due.", "Send the chunks in order and without gaps.");

    public static Exception BlobTooLarge(long most) => Errors.Throwable(
        ErrorCode.LimitExceeded, $"The blob has more than {Number(most)} bytes, which is the most this service takes.");

    // the call itself

    public static Exception Stopping() => new NdifException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = "The gateway is being stopped. The job goes on.",
        Hint = "Follow it with Watch from the last sequence number that you have seen.",
        Retryable = true,
        RetryAfterSeconds = 1,
    });

    public static Exception TooSlow(TimeSpan patience) => new NdifException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = $"Nothing came from the client for {patience.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture)} s, and the gateway did not wait any longer.",
        Hint = "Try again, over a better connection if that was the reason.",
        Retryable = true,
        RetryAfterSeconds = 1,
    });

    public static Error StoreUnavailable() => new()
    {
        Code = ErrorCode.Unavailable,
        Message = "The service cannot reach its queue at the moment.",
        Hint = "Try again; jobs that were accepted are not lost.",
        Retryable = true,
        RetryAfterSeconds = 1,
    };

    public static Error MalformedMessage() => Errors.Make(
        ErrorCode.BadArgument, "The request is not a valid message of this call.",
        "Check that client and server speak the same version of ndif.v1, and that nothing between them changes bytes.");

    public static Error MessageTooLarge(long most) => Errors.Make(
        ErrorCode.LimitExceeded, $"The request is larger than {Number(most)} bytes, which is the most this service takes in one message.",
        "Upload large constants as blobs (PutBlob, or PUT /v1/blobs/{id}) and name them in the program.");

    public static Error Unexpected(string errorId) => Errors.Make(
        ErrorCode.Internal, $"Something went wrong in the gateway (error {errorId}).",
        $"This is a bug. Report it with the id {errorId}, which the operator finds in the log.");

    private static Exception BadArgument(string message, string hint = "") => Errors.Throwable(ErrorCode.BadArgument, message, hint);

    private static Exception Invalid(string message, string hint = "") => Errors.Throwable(ErrorCode.InvalidProgram, message, hint);

    private static string Names(IEnumerable<string> names) =>
        names.Select(name => $"`{name}`").ToArray() is { Length: > 0 } quoted ? string.Join(", ", quoted) : "none";

    /// <summary>What a caller wrote, cut and on one line: an answer must not carry megabytes back, nor a log line forge another.</summary>
    internal static string Short(string text, int most = 100)
    {
        string cut = text.Length <= most ? text : text[..most] + "…";
        return cut.Any(char.IsControl) ? string.Concat(cut.Select(letter => char.IsControl(letter) ? '?' : letter)) : cut;
    }

    private static string Number(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static string Day(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture);
}
