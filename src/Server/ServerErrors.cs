using System.Globalization;
using Ndif.Protocol;
using Ndif.Server.Admission;
using Ndif.Server.Grpc;
using Ndif.Server.Keys;

namespace Ndif.Server;

/// <summary>
/// Creates the errors of the gateway. Each one has a code, says what happened and what to do. See <see cref="ErrorWireFormat"/>.
/// </summary>
internal static class ServerErrors
{
    private const string CreateKeyHint = "Ask your operator for a key (`ndif keys create`), then set NDIF_API_KEY.";

    // keys

    public static Exception MissingKey() => Errors.CreateException(
        ErrorCode.Unauthenticated, "This service needs a key, and the call has none.",
        $"Send the metadata `authorization: Bearer <key>`. {CreateKeyHint}");

    public static Exception MalformedKey() => Errors.CreateException(
        ErrorCode.Unauthenticated, "This is not a key. An API key consists of `ndif_`, 8 letters or digits, `_` and 43 more characters.",
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
        $"It may use {FormatNames(caller.Models)}. Ask your operator for a key that may use this model.");

    public static Exception BadKeyName(int maxLength) => BadArgument(
        $"A key needs a name of 1 to {maxLength} characters without control characters.", "Give the name of its user or its purpose.");

    public static Exception UnknownScope(string scope) => BadArgument(
        $"There is no scope `{Truncate(scope)}`.", $"Scopes are {FormatNames(Scopes.All)}.");

    public static Exception UnknownTier(string tier, IEnumerable<string> tiers) => BadArgument(
        $"There is no tier `{Truncate(tier)}`.",
        $"{Errors.DidYouMean(tier.Length <= 100 ? tier : "", tiers)} Tiers are {FormatNames(tiers)}; ".TrimStart()
        + "others are defined by the option Gateway:Tiers.");

    public static Exception BadLifetime() => BadArgument(
        "The lifetime of a key must be more than 0 and less than 100 years.", "Omit it for a key that does not expire.");

    public static Exception UnknownKeyId(string id) => BadArgument(
        $"There is no key `{Truncate(id)}`.", "List the keys with `ndif keys list`; the id is the first column.");

    public static Exception UnknownScalerMetadata(string key, IEnumerable<string> keys) => BadArgument(
        $"The scaler does not know the metadata `{Truncate(key)}`.", $"A trigger may set {FormatNames(keys)}.");

    public static Exception BadJobsPerWorker(string key, string value) => BadArgument(
        $"`{key}` must be a whole number of at least 1, and is `{Truncate(value)}`.", "Omit it for 16 jobs per worker.");

    public static Exception BrokenKeyFile(string path, Exception inner) => Errors.CreateException(
        ErrorCode.CorruptData, $"The key file `{path}` is not valid JSON.", "Restore it from a backup, or delete it and create new keys.",
        inner: inner);

    // jobs

    /// <summary>The error is the same for a job that does not exist and for a job of another owner, so that ids reveal nothing.</summary>
    public static Exception UnknownJob(string id) => Errors.CreateException(
        ErrorCode.UnknownJob, $"There is no job `{Truncate(id)}` of yours.",
        "Ended jobs are deleted after some time. `ndif jobs` lists your jobs.");

    /// <summary>For operators, who name the jobs of all keys.</summary>
    public static Exception UnknownJobOfAnyKey(string id) => Errors.CreateException(
        ErrorCode.UnknownJob, $"There is no job `{Truncate(id)}`.",
        "`ndif jobs list --all` lists the jobs of all keys. An id that a user chose ends with the id of the key: `run-1.k7f3q2aa`.");

    public static Exception BadDate(string text) => BadArgument($"`{Truncate(text)}` is not a date.", "Use the format 2026-11-23.");

    public static Exception NotYourUsage() => Errors.CreateException(
        ErrorCode.PermissionDenied, "Only administrators may see the usage of another key.",
        "Omit the key, or call Admin.GetUsage with a key that has the scope `admin`.");

    public static Exception UnknownDeadLetter(string id) => Errors.CreateException(
        ErrorCode.UnknownJob, $"There is no dead letter `{Truncate(id)}`.",
        "`ndif jobs dead` lists them. A dead letter is removed when it is requeued and when its retention time is over.");

    public static Exception BadJobId() => BadArgument(
        "A job id has 1 to 64 letters, digits and `-`.", "Choose another id, or leave it empty to let the service choose one.");

    public static Exception NoSubmission() => Invalid(
        "A Run stream must start with `submit`.", "Send the program first; replies, cancel and detach come after it.");

    public static Exception SecondSubmission() => Invalid("A Run stream accepts one `submit`.", "Open another stream for another job.");

    public static Exception DryRunOnRun() => Invalid("A dry run has no events to stream.", "Call Submit with `dry_run`.");

    public static Exception NoProgram() => Invalid("The submission contains no program.");

    public static Exception BadTimeout(TimeSpan maxTimeout) => BadArgument(
        $"A time limit must be from 0 to {maxTimeout.TotalSeconds:0} seconds.", "0 means the limit of the service.");

    public static Exception OverLimit(string what, long amount, long limit, string hint) => Errors.CreateException(
        ErrorCode.LimitExceeded, $"The program has {FormatNumber(amount)} {what}; your key may have {FormatNumber(limit)}.", hint);

    public static Exception UnknownModel(string model, IReadOnlyCollection<string> servedModels)
    {
        string suggestion = ModelNameSuggester.Suggest(model, servedModels);
        string names = FormatNames(servedModels.Order(StringComparer.Ordinal).Take(8));
        string list = servedModels.Count == 0
            ? "No worker serves a model at the moment."
            : $"Served are {names}{(servedModels.Count > 8 ? " and others" : "")}.";
        return Errors.CreateException(
            ErrorCode.UnknownModel, $"This service has no model `{Truncate(model)}`.",
            suggestion.Length > 0 ? $"{suggestion} {list}" : list);
    }

    public static Exception NotDescribed(string model) => Retryable(ErrorCode.Unavailable,
        $"The model `{model}` is deployed, but no worker has published its description yet.",
        "Try again in a moment.");

    public static Exception NoModelName() => Errors.CreateException(
        ErrorCode.UnknownModel, "The program has no model name, or it is longer than 256 characters.",
        "Use a name that ListModels returns.");

    // deployments and workers

    public static Exception UnknownDeployment(string name, IReadOnlyCollection<string> knownModels)
    {
        string suggestion = ModelNameSuggester.Suggest(name, knownModels);
        return Errors.CreateException(
            ErrorCode.UnknownModel, $"`{Truncate(name)}` is not deployed, and no worker holds it.",
            suggestion.Length > 0 ? suggestion : "`ndif models list` lists the models of the service.");
    }

    public static Exception UnknownWorker(string worker, IEnumerable<string> liveWorkers)
    {
        string suggestion = Errors.DidYouMean(worker.Length <= 100 ? worker : "", liveWorkers);
        return BadArgument($"There is no worker `{Truncate(worker)}`.", suggestion.Length > 0 ? suggestion
            : "`ndif status` lists the live workers.");
    }

    public static Exception ModelNotOnWorker(string name, string worker) => Errors.CreateException(
        ErrorCode.UnknownModel, $"Worker `{Truncate(worker)}` does not hold `{Truncate(name)}`.",
        "`ndif status` shows the models of each worker.");

    public static Exception BadDeploymentName(string model) => BadArgument(
        $"`{Truncate(model)}` cannot be deployed: it is neither an id on the Hugging Face hub nor a folder that this service may deploy.",
        "Use an id such as `openai-community/gpt2`. To deploy folders, name the folder above them in Gateway:ModelFolders; "
        + "a worker also loads folders with `ndif worker --model`.");

    public static Exception BadDeploymentRevision(string revision) => BadArgument(
        $"`{Truncate(revision)}` is not a revision.", "Use a branch, a tag or a commit, such as `main`.");

    public static Exception BadDeploymentDtype(DataType dtype) => BadArgument(
        $"Weights cannot be loaded as {dtype.ToString().ToLowerInvariant()}.",
        "Use float32, bfloat16 or float16, or omit it for the type of the checkpoint.");

    public static Error ModelEvicted(string name) => Errors.Create(ErrorCode.UnknownModel,
        $"An operator evicted `{name}` from the service before the job ran.", "`ndif models` lists the models of the service.");

    // published edits

    public static Exception BadEditsName(string name) => BadArgument(
        $"`{Truncate(name)}` cannot be the name of published edits.",
        "Use 1 to 64 lower-case letters, digits, dots, dashes and underscores, beginning with a letter or a digit.");

    public static Exception EditsNameIsModel(string name) => BadArgument(
        $"`{name}` is the name of a model of this service.", "Choose another name for the edits.");

    public static Exception EditsNotAllowed() => Errors.CreateException(
        ErrorCode.PermissionDenied, "This service does not let keys publish edits (Gateway:EditsPerKey is 0).",
        "Use the edits in your own programs: model.ImportEdits(path).");

    public static Exception NotEdits(string why) => BadArgument(
        $"The program is none of published edits. {why}",
        "Publish an edited model with `ndif edits publish`, or PublishedEdits.PublishAsync.");

    public static Exception UnsupportedEdit(string kind, uint node) => new NdifException(new Error
    {
        Code = ErrorCode.Unsupported,
        Message = $"The edits have a statement of kind `{Truncate(kind)}`, which published edits cannot have.",
        Hint = "They may read and change the model. Remove saves, logs, caches, stops, gradients and calls of your functions.",
        Node = node,
    });

    public static Exception UnknownEdits(string name) => Errors.CreateException(
        ErrorCode.UnknownModel, $"Your key has no published edits of the name `{Truncate(name)}`.", "`ndif edits list` lists them.");

    public static Exception EditsLost(string name) => Errors.CreateException(
        ErrorCode.UnknownBlob, $"The program of the published edits `{Truncate(name)}` is no longer stored.",
        "Blobs are deleted while no gateway runs for longer than they are kept. Publish the edits again.");

    // blobs

    public static Exception UnknownBlob(string id) => Errors.CreateException(
        ErrorCode.UnknownBlob, $"There is no blob `{Truncate(id)}` that you may read.",
        "Results and constants are kept for a limited time. Run the job again, or upload the constant again.");

    public static Exception BadRange(ulong offset, long length) => Errors.CreateException(
        ErrorCode.IndexOutOfRange, $"Offset {offset} is beyond the end of the blob, which has {length} bytes.");

    public static Exception ChecksumMismatch(string expected, string actual) => Errors.CreateException(
        ErrorCode.CorruptData, $"The received bytes have the hash {actual}, not {Truncate(expected)}.",
        "The id of a blob is the lower-case hex SHA-256 of its bytes. Upload it again.");

    public static Exception LengthMismatch(string id, ulong expected, long actual) => Errors.CreateException(
        ErrorCode.CorruptData, $"The constant {Truncate(id)} has {actual} bytes, not {expected}.");

    public static Exception ChunkGap(ulong expected, ulong actual) => Errors.CreateException(
        ErrorCode.CorruptData, $"Received a chunk at offset {actual} instead of offset {expected}.",
        "Send the chunks in order and without gaps.");

    public static Exception BlobTooLarge(long maxBytes) => Errors.CreateException(
        ErrorCode.LimitExceeded, $"The blob has more than {FormatNumber(maxBytes)} bytes, which is the limit of this service.");

    public static Exception TooManyUploads(long limit, TimeSpan wait) => Retryable(ErrorCode.QuotaExceeded,
        $"Your key may upload {FormatNumber(limit)} bytes in an hour, and has done so.",
        "Constants that were uploaded before are kept for a time and need no upload; a narrower type needs fewer bytes.",
        Math.Ceiling(wait.TotalSeconds));

    public static Exception TooManyBlobIds(int count, int limit) => Errors.CreateException(
        ErrorCode.LimitExceeded, $"The call has {FormatNumber(count)} blob ids; {FormatNumber(limit)} are allowed.", "Use several calls.");

    // the call itself

    public static Exception TooManyRefusals(int limit, TimeSpan wait) => Retryable(ErrorCode.QuotaExceeded,
        $"Too many requests of this key were refused: {FormatNumber(limit)} are allowed per minute, and large ones count more.",
        "Correct the program or the call; the errors of the refused requests say what is wrong.", Math.Ceiling(wait.TotalSeconds));

    public static Exception TooManyRequestsOfKey(int limit) => Retryable(ErrorCode.QuotaExceeded,
        $"{FormatNumber(limit)} requests of this key are being received, which is the limit, and none of them is complete.",
        "Send the message of each call at once, or use fewer calls at a time.");

    public static Exception TooManyOpenRequests(int limit) => Retryable(ErrorCode.QuotaExceeded,
        $"{FormatNumber(limit)} requests and streams of this key are open at this gateway, which is the limit.",
        "End streams that are not needed. Several readers of one program can share a stream.");

    public static Exception TooManyWithoutKey() => Retryable(ErrorCode.Unavailable,
        "Too many requests without a valid key are open at this gateway.",
        "Try again.");

    public static Exception TooManyKeylessRequests(int perSecond, int waitSeconds) => Retryable(ErrorCode.QuotaExceeded,
        $"Callers without a valid key together send more than {FormatNumber(perSecond)} requests a second, which is the limit of this "
        + "gateway.",
        "Try again. Calls with a valid key do not count.", waitSeconds);

    public static Exception GatewayBusy() => Retryable(ErrorCode.Unavailable,
        "The gateway has no memory for another large request at the moment.",
        "Try again, with fewer requests at a time. A smaller program needs less: record loops instead of unrolled statements, and upload "
        + "constants as blobs.");

    public static Exception CompletionTooLarge(long bytes, long limit) => Errors.CreateException(ErrorCode.LimitExceeded,
        $"The completion may take {FormatNumber(bytes)} bytes of the gateway's memory, and one completion may take {FormatNumber(limit)}.",
        "Ask for fewer choices, prompts, new tokens or log probabilities at a time.");

    public static Exception GatewayStopping() => new NdifException(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = "The gateway is shutting down. The job continues.",
        Hint = "Resume with Watch after the last sequence number that you received.",
        Retryable = true,
        RetryAfterSeconds = 1,
        JobContinues = true,
    });

    /// <summary>The error of a Run stream whose job goes on, although a message of its client was refused for now.</summary>
    public static Exception MessageNotTaken(Error refusal)
    {
        Error error = refusal.Clone();
        error.Message += " The job continues.";
        error.Hint = "Return to the job: submit it again under its id, and send the message again. " + error.Hint;
        error.JobContinues = true;
        return Errors.ToException(error);
    }

    public static Exception CompletionInterrupted() => Retryable(ErrorCode.Unavailable,
        "The gateway is shutting down, and has cancelled the job of this completion.",
        "Send the request again.");

    public static Exception ClientTimedOut(TimeSpan timeout) => Retryable(ErrorCode.Unavailable,
        $"Nothing came from the client for {FormatSeconds(timeout)} s, which is the timeout of the gateway.",
        "Try again. Check the network connection if this happens repeatedly.");

    public static Error StoreUnavailable() => new()
    {
        Code = ErrorCode.Unavailable,
        Message = "The service cannot reach its queue at the moment.",
        Hint = "Try again. Accepted jobs are not lost.",
        Retryable = true,
        RetryAfterSeconds = 1,
    };

    public static Error MalformedMessage() => Errors.Create(
        ErrorCode.BadArgument, "The request is not a valid message of this call.",
        "Check that client and server use the same version of ndif.v1, and that no proxy changes the message.");

    public static Error MessageTooLarge(long maxBytes) => Errors.Create(
        ErrorCode.LimitExceeded, $"The request is larger than {FormatNumber(maxBytes)} bytes, which is the message limit of this service.",
        "Upload large constants as blobs (PutBlob, or PUT /v1/blobs/{id}) and refer to them in the program.");

    public static Error Unexpected(string errorId) => Errors.Create(
        ErrorCode.Internal, $"An unexpected error occurred in the gateway (error {errorId}).",
        $"This is a bug. Report it with the id {errorId}, under which the operator finds it in the log.");

    private static Exception BadArgument(string message, string hint = "") => Errors.CreateException(ErrorCode.BadArgument, message, hint);

    private static Exception Invalid(string message, string hint = "") => Errors.CreateException(ErrorCode.InvalidProgram, message, hint);

    private static string FormatNames(IEnumerable<string> names) =>
        names.Select(name => $"`{name}`").ToArray() is { Length: > 0 } quoted ? string.Join(", ", quoted) : "none";

    /// <summary>
    /// Truncates a text of the caller and replaces its control characters, so that an error stays small and a log message stays on one
    /// line.
    /// </summary>
    internal static string Truncate(string text, int maxLength = 100) => ErrorText.Truncate(text, maxLength);

    private static NdifException Retryable(ErrorCode code, string message, string hint, double afterSeconds = 1) => new(new Error
    {
        Code = code, Message = message, Hint = hint, Retryable = true, RetryAfterSeconds = afterSeconds,
    });

    private static string FormatNumber(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static string FormatSeconds(TimeSpan time) => time.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture);

    private static string FormatTime(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture);
}
