using System.Net;
using System.Net.Security;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace Ndif.Server.Hosting;

/// <summary>
/// Configures the endpoints and limits of Kestrel. Without TLS, the protocol cannot be negotiated, so gRPC (HTTP/2) and HTTP/1.1 use two
/// ports; with TLS (ALPN) one port serves both.
/// </summary>
internal static class KestrelSetup
{
    /// <summary>
    /// What a connection may send before it is read: the window of HTTP/2, and the request buffer of HTTP/1.1. Whoever opens a connection
    /// can fill it, so <see cref="ConnectionLimiter"/> counts with it. Large tensors are uploaded over HTTP/1.1, which a small window does
    /// not slow down.
    /// </summary>
    public const int ConnectionWindowBytes = 512 << 10;

    private const int StreamWindowBytes = 256 << 10;
    private const int MaxFrameBytes = 128 << 10;
    private const int MinBytesPerSecond = 240; // the default of Kestrel

    /// <summary>Long enough for a client whose processor or thread pool is busy.</summary>
    private static readonly TimeSpan _handshakeTimeout = TimeSpan.FromSeconds(10);

    /// <param name="certificate">Null for no TLS.</param>
    public static void Configure(
        KestrelServerOptions kestrel, GatewayOptions options, ServerCertificate? certificate, ConnectionLimiter connections)
    {
        kestrel.AddServerHeader = false;
        KestrelServerLimits limits = kestrel.Limits;
        limits.MaxRequestBufferSize = ConnectionWindowBytes;
        limits.MaxRequestBodySize = null; // gRPC limits the size of messages, BlobTransfer the size of blobs
        // gRPC removes this limit for streaming calls, which have timeouts of their own
        limits.MinRequestBodyDataRate = new MinDataRate(MinBytesPerSecond, options.RequestTimeout);
        limits.RequestHeadersTimeout = options.RequestTimeout;
        limits.MinResponseDataRate = null; // a client at a breakpoint is slow; pings detect dead connections
        limits.Http2.InitialStreamWindowSize = StreamWindowBytes;
        limits.Http2.InitialConnectionWindowSize = ConnectionWindowBytes;
        limits.Http2.MaxFrameSize = MaxFrameBytes;
        limits.Http2.KeepAlivePingDelay = options.KeepAlive;
        limits.Http2.KeepAlivePingTimeout = options.KeepAlive;
        if (certificate is not null)
        {
            Listen(kestrel, options.Address, options.GrpcPort, endpoint =>
            {
                endpoint.Protocols = HttpProtocols.Http1AndHttp2;
                LimitConnections(endpoint, hasTls: true);
                endpoint.UseHttps(new TlsHandshakeCallbackOptions
                {
                    HandshakeTimeout = _handshakeTimeout,
                    OnConnection = _ => ValueTask.FromResult(
                        new SslServerAuthenticationOptions { ServerCertificateContext = certificate.Context }),
                });
                endpoint.Use(next => context =>
                {
                    context.Features.Get<ConnectionLimiter.ClientConnection>()!.OnHandshakeCompleted();
                    return next(context);
                });
            });
            return;
        }
        Listen(kestrel, options.Address, options.GrpcPort, endpoint =>
        {
            endpoint.Protocols = HttpProtocols.Http2;
            LimitConnections(endpoint);
        });
        Listen(kestrel, options.Address, options.HttpPort, endpoint =>
        {
            endpoint.Protocols = HttpProtocols.Http1;
            LimitConnections(endpoint);
        });

        // before TLS, so that handshakes count too
        void LimitConnections(ListenOptions endpoint, bool hasTls = false) =>
            endpoint.Use(next => context => connections.RunAsync(context, next, hasTls));
    }

    private static void Listen(KestrelServerOptions kestrel, IPAddress? address, int port, Action<ListenOptions> configure)
    {
        if (address is null) kestrel.ListenAnyIP(port, configure);
        else kestrel.Listen(address, port, configure);
    }
}
