using System.Globalization;
using Ndif.Protocol;
using Ndif.Server.Admission;
using Ndif.Server.Grpc;
using Ndif.Server.Keys;

namespace Ndif.Server;

/// <summary>Every refusal of the gateway: its code, a sentence, what to do. How they travel: <see cref="ErrorWireFormat"/>.</summary>
internal static class ServerErrors
{
    private const string CreateKeyHint = "Ask your operator for a key (`ndif keys create`), then set NDIF_API_KEY.";

    // keys

    public static Exception MissingKey() => Errors.CreateException(
        ErrorCode.Unauthenticated, "This service needs a key, and the call has none.",
        $"Send the metadata `authorization: Bearer <key>`. {CreateKeyHint}");

    public static Exception MalformedKey() => Errors.CreateException(
        ErrorCode.Unauthenticated, "This is not a key: one reads `ndif_`, 8 letters or digits, `_` and 43 more characters.",
        $"Copy the whole key, without quotes or line breaks. {CreateKeyHint}");

    public static Exception WrongKey() => Errors.CreateException(
        ErrorCode.Unauthenticated, "This service does not know the key.",
        $"Check that the key belongs to this address. {CreateKeyHint}");

    public static Exception RevokedKey(string id, DateTimeOffset at) => Errors.CreateException(
        ErrorCode.Unauthenticated, $"The key {id} was revoked on {FormatTime(at)}.", CreateKeyHint);

    public static Exception ExpiredKey(string id, DateTimeOffset at) => Errors.CreateException(
        ErrorCode.Unauthenticated, $"The key {id} expired on {FormatTime(at)}.", CreateKeyHint);

    public static Exception MissingScope(Caller caller, string scope) => Errors.CreateException(
        ErrorCode.PermissionDenied, $"The key {caller.Id} has no scope `{scope}`.",
        $"It has {FormatNames(caller.Scopes)}. Ask your operator for a key with `{scope}`.");

    public static Exception ModelNotAllowed(Caller caller, string model) => Errors.CreateException(
        ErrorCode.PermissionDenied, $"The key {caller.Id} may not use the model `{model}`.",
        $"It may use {FormatNames(caller.Models)}. Ask your operator for one that may.");

    public static Exception BadKeyName(int maxLength) => BadArgument($"A key needs a name of 1 to {maxLength} characters, none of them a line break or another control character.", "Say whose it is.");

    public static Exception UnknownScope(string scope) => BadArgument(
        $"There is no scope `{Truncate(scope)}`.", $"Scopes are {FormatNames(Scopes.All)}.");

    public static Exception UnknownTier(string tier, IEnumerable<string> tiers) => BadArgument(
        $"There is no tier `{Truncate(tier)}`.", $"Tiers are {FormatNames(tiers)}.");

    public static Exception BadLifetime() => BadArgument("A key's lifetime must be above 0 and below 100 years.", "Leave it out for a key that does not expire.");

    public static Exception UnknownKeyId(string id) => BadArgument(
        $"There is no key `{Truncate(id)}`.", "List the keys with `ndif keys list`; the id is the first column.");

    public static Exception BrokenKeyFile(string path, Exception inner) => Errors.CreateException(
        ErrorCode.CorruptData, $"The key file `{path}` is not valid JSON.", "Restore it from a backup, or delete it and make new keys.", inner: inner);

    // jobs

    /// <summary>The same for a job that is not there and for another owner's: ids tell nothing.</summary>
    public static Exception UnknownJob(string id) => Errors.CreateException(
        ErrorCode.UnknownJob, $"There is no job `{Truncate(id)}` of yours.", "Finished jobs are forgotten after a while. `ndif jobs` lists yours.");

    public static Exception BadDate(string text) => BadArgument($"`{Truncate(text)}` is no day.", "Write 2026-11-23.");

    public static Exception NotYourUsage() => Errors.CreateException(
        ErrorCode.PermissionDenied, "What another key has used is for administrators.", "Leave the key out, or ask Admin.GetUsage with a key that has the scope `admin`.");

    public static Exception UnknownDeadLetter(string id) => Errors.CreateException(
        ErrorCode.UnknownJob, $"There is no dead letter `{Truncate(id)}`.",
        "`ndif jobs dead` lists them. One that was queued again, or is older than the service remembers, is none any more.");

    public static Exception BadJobId() => BadArgument(
        "A job id is 1 to 64 letters, digits and `-`.", "Choose another, or leave it empty to be given one.");

    public static Exception NoSubmission() => Invalid(
        "A Run stream must start with `submit`.", "Send the program first; call-back replies, cancel and detach come after it.");

    public static Exception SecondSubmission() => Invalid("A Run stream carries one `submit`.", "Open another stream for another job.");

    public static Exception DryRunOnRun() => Invalid("A dry run has no events to stream.", "Call Submit with `dry_run`.");

    public static Exception NoProgram() => Invalid("The submission holds no program.");

    public static Exception MissingFeature(string feature, IEnumerable<string> features) => Errors.CreateException(
        ErrorCode.Unsupported, $"The program needs the feature `{Truncate(feature)}`, which this service lacks.",
        $"It has {FormatNames(features)}. Update the service, or use an older client.");

    public static Exception BadTimeout(TimeSpan maxTimeout) => BadArgument(
        $"A time limit must be from 0 to {maxTimeout.TotalSeconds:0} seconds.", "0 asks for the service's own limit.");

    public static Exception OverLimit(string what, long amount, long limit, string hint) => Errors.CreateException(
        ErrorCode.LimitExceeded, $"The program has {FormatNumber(amount)} {what}; your key may have {FormatNumber(limit)}.", hint);

    public static Exception UnknownModel(string model, IReadOnlyCollection<string> servedModels)
    {
        string near = ModelNameSuggester.Suggest(model, servedModels);
        string list = servedModels.Count == 0
            ? "No worker serves a model at the moment."
            : $"Served are {FormatNames(servedModels.Order(StringComparer.Ordinal).Take(8))}{(servedModels.Count > 8 ? " and others" : "")}.";
        return Errors.CreateException(
            ErrorCode.UnknownModel, $"This service has no model `{Truncate(model)}`.", near.Length > 0 ? $"{near} {list}" : list);
    }

    public static Exception NotDescribed(string model) => new NdifException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = $"The model `{model}` is announced, but no worker has described it yet.",
        Hint = "Try again in a moment.",
        Retryable = true,
        RetryAfterSeconds = 1,
    });

    public static Exception NoModelName() => Errors.CreateException(
        ErrorCode.UnknownModel, "The program names no model, or its name is longer than 256 characters.", "Name one that ListModels lists.");

    // operating

    public static Exception UnknownDeployment(string name, IReadOnlyCollection<string> knownModels)
    {
        string near = ModelNameSuggester.Suggest(name, knownModels);
        return Errors.CreateException(ErrorCode.UnknownModel, $"Nobody deployed `{Truncate(name)}`, and no worker holds it.", near.Length > 0 ? near : "`ndif models list` shows what is there.");
    }

    public static Exception UnknownWorker(string worker, IEnumerable<string> liveWorkers)
    {
        string near = Errors.DidYouMean(worker.Length <= 100 ? worker : "", liveWorkers);
        return BadArgument($"There is no worker `{Truncate(worker)}`.", near.Length > 0 ? near : "`ndif status` lists those that are alive.");
    }

    public static Exception ModelNotOnWorker(string name, string worker) => Errors.CreateException(
        ErrorCode.UnknownModel, $"Worker `{Truncate(worker)}` does not hold `{Truncate(name)}`.", "`ndif status` shows what each worker holds.");

    public static Exception BadDeploymentDtype(DataType dtype) => BadArgument(
        $"Weights cannot be loaded as {dtype.ToString().ToLowerInvariant()}.", "Types are float32, bfloat16 and float16; leave it out for the checkpoint's own.");

    public static Error ModelEvicted(string name) => Errors.Create(ErrorCode.UnknownModel,
        $"An operator has taken `{name}` off the service before the job ran.", "`ndif models` lists what is served.");

    // blobs

    public static Exception UnknownBlob(string id) => Errors.CreateException(
        ErrorCode.UnknownBlob, $"There is no blob `{Truncate(id)}` that you may read.",
        "Results and constants are kept for a limited time: run the job again, or upload the constant again.");

    public static Exception BadRange(ulong offset, long length) => Errors.CreateException(
        ErrorCode.IndexOutOfRange, $"Offset {offset} lies beyond the blob's {length} bytes.");

    public static Exception ChecksumMismatch(string expected, string actual) => Errors.CreateException(
        ErrorCode.CorruptData, $"The bytes received hash to {actual}, not to {Truncate(expected)}.",
        "A blob's id is the lower-case hex SHA-256 of its bytes. Upload it again.");

    public static Exception LengthMismatch(string id, ulong expected, long actual) => Errors.CreateException(
        ErrorCode.CorruptData, $"The constant {Truncate(id)} has {actual} bytes, not {expected}.");

    public static Exception ChunkGap(ulong expected, ulong actual) => Errors.CreateException(
        ErrorCode.CorruptData, $"A chunk at offset {actual} came where offset {expected} was due.", "Send the chunks in order and without gaps.");

    public static Exception BlobTooLarge(long maxBytes) => Errors.CreateException(
        ErrorCode.LimitExceeded, $"The blob has more than {FormatNumber(maxBytes)} bytes, which is the most this service takes.");

    // the call itself

    public static Exception GatewayStopping() => new NdifException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = "The gateway is being stopped. The job goes on.",
        Hint = "Follow it with Watch from the last sequence number that you have seen.",
        Retryable = true,
        RetryAfterSeconds = 1,
    });

    public static Exception ClientTimedOut(TimeSpan timeout) => new NdifException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = $"Nothing came from the client for {timeout.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture)} s, and the gateway did not wait any longer.",
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

    public static Error MalformedMessage() => Errors.Create(
        ErrorCode.BadArgument, "The request is not a valid message of this call.",
        "Check that client and server speak the same version of ndif.v1, and that nothing between them changes bytes.");

    public static Error MessageTooLarge(long maxBytes) => Errors.Create(
        ErrorCode.LimitExceeded, $"The request is larger than {FormatNumber(maxBytes)} bytes, which is the most this service takes in one message.",
        "Upload large constants as blobs (PutBlob, or PUT /v1/blobs/{id}) and name them in the program.");

    public static Error Unexpected(string errorId) => Errors.Create(
        ErrorCode.Internal, $"Something went wrong in the gateway (error {errorId}).",
        $"This is a bug. Report it with the id {errorId}, which the operator finds in the log.");

    private static Exception BadArgument(string message, string hint = "") => Errors.CreateException(ErrorCode.BadArgument, message, hint);

    private static Exception Invalid(string message, string hint = "") => Errors.CreateException(ErrorCode.InvalidProgram, message, hint);

    private static string FormatNames(IEnumerable<string> names) =>
        names.Select(name => $"`{name}`").ToArray() is { Length: > 0 } quoted ? string.Join(", ", quoted) : "none";

    /// <summary>What a caller wrote, cut and on one line: an answer must not carry megabytes back, nor a log line forge another.</summary>
    internal static string Truncate(string text, int maxLength = 100)
    {
        string cut = ErrorText.Truncate(text, maxLength);
        return cut.Any(char.IsControl) ? string.Concat(cut.Select(letter => char.IsControl(letter) ? '?' : letter)) : cut;
    }

    private static string FormatNumber(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static string FormatTime(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture);
}
