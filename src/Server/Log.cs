using Microsoft.Extensions.Logging;

namespace Ndif.Server;

/// <summary>The log messages of the gateway. Event ids (3000 to 3999) are stable. No message contains a key secret or a header.</summary>
internal static partial class Log
{
    [LoggerMessage(3000, LogLevel.Information, "The gateway is listening: gRPC on {Grpc}, HTTP on {Http}.")]
    public static partial void Listening(this ILogger logger, Uri grpc, Uri http);

    [LoggerMessage(3001, LogLevel.Warning, "API keys are sent unencrypted to {Host}: configure a certificate, or use a TLS proxy.")]
    public static partial void NoTls(this ILogger logger, string host);

    [LoggerMessage(3002, LogLevel.Information, "Calls without a key are accepted, from this machine only.")]
    public static partial void Anonymous(this ILogger logger);

    [LoggerMessage(3004, LogLevel.Information, "The certificate {File} was read again: {Subject}, valid until {Until:u}")]
    public static partial void CertificateReloaded(this ILogger logger, string file, string subject, DateTime until);

    [LoggerMessage(
        3005, LogLevel.Error,
            "The changed certificate {File} or its key cannot be used, and the previous one stays until {Until:u}: {Reason}")]
    public static partial void CertificateNotReloaded(this ILogger logger, string file, string reason, DateTime until);

    [LoggerMessage(
        3006, LogLevel.Error, "The certificate {File} is valid from {From:u} until {Until:u}, which is not now: clients refuse it")]
    public static partial void CertificateNotValid(this ILogger logger, string file, DateTime from, DateTime until);

    [LoggerMessage(3010, LogLevel.Information, "{Method} {Path} answered {Status} in {Milliseconds:0.0} ms")]
    public static partial void Request(this ILogger logger, string method, string path, string status, double milliseconds);

    [LoggerMessage(3011, LogLevel.Information, "Refused {Endpoint}: {Code}. {Reason}")]
    public static partial void Refused(this ILogger logger, string endpoint, string code, string reason);

    [LoggerMessage(3012, LogLevel.Warning, "{Count} lines about requests of {Owner} were left out, because there were too many")]
    public static partial void LinesLeftOut(this ILogger logger, long count, string owner);

    [LoggerMessage(3020, LogLevel.Information, "Job {JobId} of {Owner} accepted for {Model}: {Nodes} nodes, cost {Cost}")]
    public static partial void Accepted(this ILogger logger, string jobId, string owner, string model, int nodes, double cost);

    [LoggerMessage(3021, LogLevel.Information, "Submission of {Owner} for {Model} refused: {Code}. {Reason}")]
    public static partial void SubmissionRefused(this ILogger logger, string owner, string model, string code, string reason);

    [LoggerMessage(3022, LogLevel.Information, "Job {JobId} was submitted again by its owner")]
    public static partial void Resubmitted(this ILogger logger, string jobId);

    [LoggerMessage(3023, LogLevel.Information, "Job {JobId} is cancelled: {Reason}")]
    public static partial void Cancelling(this ILogger logger, string jobId, string reason);

    [LoggerMessage(3024, LogLevel.Information, "Job {JobId} goes on without its client")]
    public static partial void Detached(this ILogger logger, string jobId);

    [LoggerMessage(3025, LogLevel.Information, "Job {JobId} ended as {State} after {Events} events")]
    public static partial void Ended(this ILogger logger, string jobId, string state, ulong events);

    [LoggerMessage(3026, LogLevel.Information, "Dead letter {JobId} was requeued as job {NewJobId} by {By}")]
    public static partial void Requeued(this ILogger logger, string jobId, string newJobId, string by);

    [LoggerMessage(3027, LogLevel.Information, "Job {JobId} was deleted by {Owner}, with {Blobs} blobs of {Bytes} bytes")]
    public static partial void JobDeleted(this ILogger logger, string jobId, string owner, uint blobs, ulong bytes);

    [LoggerMessage(3028, LogLevel.Information, "Edits of {Model} published as {Name} by {Owner}; for everyone: {IsPublic}")]
    public static partial void EditsPublished(this ILogger logger, string name, string model, bool isPublic, string owner);

    [LoggerMessage(3029, LogLevel.Information, "Edits {Name} of {Owner} deleted")]
    public static partial void EditsDeleted(this ILogger logger, string name, string owner);

    [LoggerMessage(3032, LogLevel.Error, "The blob {BlobId} of the published edits {Name} of {Owner} is lost")]
    public static partial void EditsLost(this ILogger logger, string name, string owner, string blobId);

    [LoggerMessage(3030, LogLevel.Information, "Blob {BlobId} of {Length} bytes stored for {Owner}")]
    public static partial void BlobStored(this ILogger logger, string blobId, ulong length, string owner);

    [LoggerMessage(3031, LogLevel.Error, "A blob of {Owner} was not stored: {Reason}")]
    public static partial void BlobNotStored(this ILogger logger, string owner, string reason);

    [LoggerMessage(3062, LogLevel.Error, "The storage of the service cannot be used")]
    public static partial void StorageFailed(this ILogger logger, Exception exception);

    [LoggerMessage(3040, LogLevel.Information, "Key {KeyId} ({Name}) created by {By}")]
    public static partial void KeyCreated(this ILogger logger, string keyId, string name, string by);

    [LoggerMessage(3041, LogLevel.Information, "Key {KeyId} revoked by {By}")]
    public static partial void KeyRevoked(this ILogger logger, string keyId, string by);

    [LoggerMessage(3050, LogLevel.Information, "Reaped {Count} expired leases")]
    public static partial void LeasesReaped(this ILogger logger, int count);

    [LoggerMessage(3051, LogLevel.Information, "Deleted {Count} expired blobs")]
    public static partial void BlobsDeleted(this ILogger logger, int count);

    [LoggerMessage(3341, LogLevel.Information, "{Count} jobs of the revoked key {KeyId} were cancelled")]
    public static partial void JobsOfRevokedKeyCancelled(this ILogger logger, int count, string keyId);

    [LoggerMessage(3342, LogLevel.Information, "Job {JobId} of {Owner} was cancelled by {By}: {Reason}")]
    public static partial void CancelledByOperator(this ILogger logger, string jobId, string owner, string reason, string by);

    [LoggerMessage(3344, LogLevel.Information, "Job {JobId} is killed on worker {Worker} by {By}")]
    public static partial void Killing(this ILogger logger, string jobId, string worker, string by);

    [LoggerMessage(3343, LogLevel.Warning, "Job {JobId} could not be cancelled yet; it is tried again: {Reason}")]
    public static partial void CancelPostponed(this ILogger logger, string jobId, string reason);

    [LoggerMessage(3052, LogLevel.Error, "The periodic task {Task} failed; it runs again at the next interval")]
    public static partial void PeriodicTaskFailed(this ILogger logger, string task, Exception exception);

    [LoggerMessage(3060, LogLevel.Error, "The store of the queue cannot be used: {Reason}")]
    public static partial void StoreUnavailable(this ILogger logger, string reason);

    [LoggerMessage(3061, LogLevel.Error, "Error {ErrorId}")]
    public static partial void Unexpected(this ILogger logger, string errorId, Exception exception);

    [LoggerMessage(3070, LogLevel.Information, "{Model} deployed by {By}: {Replicas} replicas, pinned {Pinned}")]
    public static partial void Deployed(this ILogger logger, string model, uint replicas, bool pinned, string by);

    [LoggerMessage(3071, LogLevel.Information, "{Model} evicted by {By} from {Where}; {Jobs} waiting jobs failed")]
    public static partial void Evicted(this ILogger logger, string model, string where, int jobs, string by);

    [LoggerMessage(3072, LogLevel.Information, "Worker {Worker} drained by {By}")]
    public static partial void Draining(this ILogger logger, string worker, string by);
}
