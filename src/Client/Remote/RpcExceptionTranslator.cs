using System.Security.Authentication;
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
            StatusCode.Unavailable => Unreachable(e, host),
            StatusCode.Internal when GetCause(e) is HttpRequestException => Unreachable(e, host), // the channel's status for a TLS failure
            StatusCode.Cancelled => new OperationCanceledException("The call was cancelled.", e),
            StatusCode.Unauthenticated => Errors.CreateException(ErrorCode.Unauthenticated, e.Status.Detail, inner: e),
            StatusCode.PermissionDenied => Errors.CreateException(ErrorCode.PermissionDenied, e.Status.Detail, inner: e),
            StatusCode.ResourceExhausted => Errors.CreateException(ErrorCode.LimitExceeded, e.Status.Detail, inner: e),
            StatusCode.Unimplemented => Errors.CreateException(ErrorCode.Unsupported,
                $"The service at {host} does not offer this call: {e.Status.Detail}", inner: e),
            _ => Errors.CreateException(ErrorCode.Internal, $"The service at {host} answered {e.StatusCode}: {e.Status.Detail}", inner: e),
        };
    }

    private static Exception Unreachable(RpcException e, Uri host)
    {
        string? proxy = EnvironmentProxy.Current.Describe(host);
        return Errors.ToException(new Error
        {
            Code = ErrorCode.Unavailable, Retryable = true,
            Message = $"The service at {host} does not answer{(proxy is null ? "" : $" through the proxy {proxy}")}: "
                // .NET's own text speaks of a version policy
                + (proxy is not null && host.Scheme == Uri.UriSchemeHttp ? "gRPC without TLS does not pass an HTTP proxy." : GetReason(e)),
            Hint = IsCertificateFailure(GetCause(e))
                ? "This machine does not trust its TLS certificate. If the service is yours, name its authority's PEM file: "
                    + "NDIF_CA_FILE, or Backend.At(host, key, caFile)."
                : proxy is not null ? $"If the service is reached without the proxy, add `{host.Host}` to `no_proxy`."
                : "Start one with `ndif up`, or set NDIF_HOST to the address of yours.",
        }, e);
    }

    private static bool IsCertificateFailure(Exception? e) =>
        e is AuthenticationException || (e is not null && IsCertificateFailure(e.InnerException));

    private static Exception? GetCause(RpcException e) => e.InnerException ?? e.Status.DebugException;

    private static string GetReason(RpcException e)
    {
        Exception reason = GetCause(e) ?? e;
        while (reason.InnerException is { } inner) reason = inner;
        return reason is RpcException ? e.Status.Detail : reason.Message;
    }
}
