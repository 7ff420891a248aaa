using System.Security.Authentication;
using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>Describes why a connection to a service was not made: what seems to be at the address, and what to use.</summary>
internal static class ConnectionFailure
{
    public static Exception Translate(RpcException e, Uri host)
    {
        string? proxy = EnvironmentProxy.Current.Describe(host);
        (string reason, string hint) = proxy is null ? Describe(e, host) : DescribeWithProxy(e, host);
        return Errors.ToException(new Error
        {
            Code = ErrorCode.Unavailable, Retryable = true,
            Message = $"The service at {host} does not answer{(proxy is null ? "" : $" through the proxy {proxy}")}: {reason}",
            Hint = hint,
        }, e);
    }

    public static Exception? GetCause(RpcException e) => e.InnerException ?? e.Status.DebugException;

    private static (string Reason, string Hint) Describe(RpcException e, Uri host)
    {
        Exception[] causes = [.. Causes(GetCause(e))];
        string reason = causes is [.., var last] ? last.Message : e.Status.Detail, address = host.GetLeftPart(UriPartial.Authority);
        string dashboardHint = $"If {address} is the dashboard of the service (HTTP/1.1, port 5081 by default), use the address of gRPC, "
            + "port 5080 by default: `ndif up` and `ndif serve` print it when they start.";
        AuthenticationException? handshake = causes.OfType<AuthenticationException>().FirstOrDefault();
        if (IsCertificateFailure(handshake)) return (reason, CertificateHint);
        if (handshake is not null) return NotTls();
        return causes.OfType<HttpRequestException>().FirstOrDefault()?.HttpRequestError switch
        {
            HttpRequestError.SecureConnectionError => NotTls(), // the peer has closed the connection in the handshake
            HttpRequestError.HttpProtocolError => ($"what answers there does not speak gRPC. ({reason})", dashboardHint),
            // it depends on the moment at which the peer closes the connection; a server of TLS or HTTP/1.1 may do that too
            HttpRequestError.InvalidResponse or HttpRequestError.ResponseEnded or HttpRequestError.Unknown => (
                $"the connection was closed. ({reason})",
                $"If the service has TLS, use {WithScheme("https")}. {dashboardHint} If it was stopped, start it again with `ndif up`."),
            _ => (reason, "Start one with `ndif up`, or set NDIF_HOST to the address of yours."),
        };

        (string, string) NotTls() => ("what answers there does not speak TLS.", $"If the service has no TLS, use {WithScheme("http")}.");

        string WithScheme(string scheme) =>
            new UriBuilder(host) { Scheme = scheme, Port = host.Port }.Uri.GetLeftPart(UriPartial.Authority);
    }

    private static (string Reason, string Hint) DescribeWithProxy(RpcException e, Uri host)
    {
        Exception[] causes = [.. Causes(GetCause(e))];
        // .NET's own text speaks of a version policy
        string reason = host.Scheme == Uri.UriSchemeHttp ? "gRPC without TLS does not pass an HTTP proxy."
            : causes is [.., var last] ? last.Message : e.Status.Detail;
        return (reason, IsCertificateFailure(causes.OfType<AuthenticationException>().FirstOrDefault()) ? CertificateHint
            : $"If the service is reached without the proxy, add `{host.Host}` to `no_proxy`.");
    }

    private const string CertificateHint = "This machine does not trust its TLS certificate. If the service is yours, name its authority's "
        + "PEM file: NDIF_CA_FILE, or Backend.At(host, key, caFile).";

    /// <summary>.NET throws one exception for a certificate that is not trusted and for a peer that does not speak TLS.</summary>
    private static bool IsCertificateFailure(AuthenticationException? e) =>
        e?.Message.Contains("certificate", StringComparison.OrdinalIgnoreCase) == true;

    private static IEnumerable<Exception> Causes(Exception? e)
    {
        for (; e is not null; e = e.InnerException) yield return e;
    }
}
