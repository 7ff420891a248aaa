using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>Converts a gRPC status to the exception that a local run throws for the same failure.</summary>
internal static class RpcExceptionTranslator
{
    /// <summary>The trailer that contains the whole <see cref="Error"/>.</summary>
    private const string Trailer = "ndif-error-bin";

    public static Exception Translate(RpcException e, Uri host)
    {
        if (e.Trailers.GetValueBytes(Trailer) is { } bytes)
        {
            try
            {
                return Errors.ToException(Error.Parser.ParseFrom(bytes), e);
            }
            catch (Google.Protobuf.InvalidProtocolBufferException)
            {
                // fall through: the status describes the failure
            }
        }
        return e.StatusCode switch
        {
            StatusCode.Unavailable => ConnectionFailure.Translate(e, host),
            StatusCode.Internal when ConnectionFailure.GetCause(e) is HttpRequestException =>
                ConnectionFailure.Translate(e, host), // the channel's status for a TLS failure
            StatusCode.Cancelled when ConnectionFailure.GetCause(e) is HttpRequestException or IOException => CallReset(e, host),
            StatusCode.Cancelled => new OperationCanceledException("The call was cancelled.", e),
            StatusCode.Unauthenticated => Errors.CreateException(ErrorCode.Unauthenticated, e.Status.Detail, inner: e),
            StatusCode.PermissionDenied => Errors.CreateException(ErrorCode.PermissionDenied, e.Status.Detail, inner: e),
            StatusCode.ResourceExhausted => Errors.CreateException(ErrorCode.LimitExceeded, e.Status.Detail, inner: e),
            StatusCode.Unimplemented => Errors.CreateException(ErrorCode.Unsupported,
                $"The service at {host} does not offer this call: {e.Status.Detail}", inner: e),
            _ => Errors.CreateException(ErrorCode.Internal, $"The service at {host} answered {e.StatusCode}: {e.Status.Detail}", inner: e),
        };
    }

    /// <summary>A gateway that stops resets the calls that it has received. The job may be queued, and sent again under its id.</summary>
    private static Exception CallReset(RpcException e, Uri host) => Errors.ToException(new Error
    {
        Code = ErrorCode.Unavailable, Retryable = true, JobContinues = true,
        Message = $"The service at {host} ended the call, most likely because it stops.", Hint = "Try again in a moment.",
    }, e);
}
