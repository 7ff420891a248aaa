using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Ndif.Server.Hosting;

/// <summary>
/// The endpoints. Without TLS nothing tells HTTP/1.1 from HTTP/2 before the first byte, so that gRPC has a port of its own; with TLS
/// (ALPN) one port serves both.
/// </summary>
internal static class KestrelSetup
{
    private const int StreamWindowBytes = 16 << 20;     // bytes in flight before a sender must wait; the default 768 KB halves large tensors on loopback
    private const int ConnectionWindowBytes = 32 << 20;
    private const int MaxFrameBytes = 1 << 20;
    private const int MinBytesPerSecond = 240;        // Kestrel's own default

    public static void Configure(KestrelServerOptions kestrel, GatewayOptions options)
    {
        kestrel.AddServerHeader = false;
        KestrelServerLimits limits = kestrel.Limits;
        limits.MaxRequestBodySize = null;          // gRPC bounds its messages, blobs their own length
        limits.MinRequestBodyDataRate = new MinDataRate(MinBytesPerSecond, options.RequestPatience); // gRPC lifts it for streams, which have patience of their own
        limits.RequestHeadersTimeout = options.RequestPatience;
        limits.MinResponseDataRate = null;         // a client stopped at a breakpoint is slow, not hostile; pings find the dead
        limits.Http2.InitialStreamWindowSize = StreamWindowBytes;
        limits.Http2.InitialConnectionWindowSize = ConnectionWindowBytes;
        limits.Http2.MaxFrameSize = MaxFrameBytes;
        limits.Http2.KeepAlivePingDelay = options.KeepAlive;
        limits.Http2.KeepAlivePingTimeout = options.KeepAlive;
        if (options.HasTls)
        {
            X509Certificate2 certificate = LoadCertificate(options);
            Listen(kestrel, options.Address, options.GrpcPort, endpoint =>
            {
                endpoint.Protocols = HttpProtocols.Http1AndHttp2;
                endpoint.UseHttps(certificate);
            });
            return;
        }
        Listen(kestrel, options.Address, options.GrpcPort, endpoint => endpoint.Protocols = HttpProtocols.Http2);
        Listen(kestrel, options.Address, options.HttpPort, endpoint => endpoint.Protocols = HttpProtocols.Http1);
    }

    private static void Listen(KestrelServerOptions kestrel, IPAddress? address, int port, Action<ListenOptions> configure)
    {
        if (address is null) kestrel.ListenAnyIP(port, configure);
        else kestrel.Listen(address, port, configure);
    }

    private static X509Certificate2 LoadCertificate(GatewayOptions options)
    {
        try
        {
            return ReadCertificate(options);
        }
        catch (CryptographicException unusable)
        {
            throw new OptionsException([$"The certificate file `{options.CertificateFile}` or its key cannot be used: {unusable.Message}"]);
        }
    }

    private static X509Certificate2 ReadCertificate(GatewayOptions options)
    {
        string file = options.CertificateFile!;
        if (Path.GetExtension(file) is ".pfx" or ".p12") return X509CertificateLoader.LoadPkcs12FromFile(file, options.CertificatePassword);
        return options.CertificatePassword is { } password
            ? X509Certificate2.CreateFromEncryptedPemFile(file, password, options.CertificateKeyFile)
            : X509Certificate2.CreateFromPemFile(file, options.CertificateKeyFile);
    }
}
