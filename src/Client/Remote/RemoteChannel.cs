using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Grpc.Net.Client;
using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>The connection to one address.</summary>
internal sealed class RemoteChannel
{
    /// <param name="caFile">PEM file of the authority to trust instead of the machine's own; null for those.</param>
    /// <exception cref="ArgumentException">The file cannot be read.</exception>
    public RemoteChannel(Uri host, string? caFile)
    {
        X509ChainPolicy? trust = caFile is { Length: > 0 } ? LoadTrustPolicy(caFile) : null;
        Host = host;
        GrpcChannel channel = GrpcChannel.ForAddress(host, new GrpcChannelOptions
        {
            HttpHandler = CreateHandler(trust),
            MaxReceiveMessageSize = null,
            MaxSendMessageSize = null,
        });
        Inference = new Inference.InferenceClient(channel);
        Admin = new Admin.AdminClient(channel);
        // A channel puts its own way to connect into its handler: another request could use its open connections, and make no new one.
        Http = new HttpClient(CreateHandler(trust))
        {
            BaseAddress = host,
            DefaultRequestVersion = new Version(2, 0),
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    private static SocketsHttpHandler CreateHandler(X509ChainPolicy? trust) => new()
    {
        EnableMultipleHttp2Connections = true,
        InitialHttp2StreamWindowSize = 16 << 20,
        PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
        KeepAlivePingDelay = TimeSpan.FromSeconds(30),
        KeepAlivePingTimeout = TimeSpan.FromSeconds(10),
        ConnectTimeout = TimeSpan.FromSeconds(10),
        SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = trust },
    };

    private static X509ChainPolicy LoadTrustPolicy(string file)
    {
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        try
        {
            policy.CustomTrustStore.ImportFromPemFile(file);
        }
        catch (Exception e) when (e is CryptographicException or IOException or UnauthorizedAccessException)
        {
            throw new ArgumentException($"The certificates of `{file}` cannot be read: {e.Message}", e);
        }
        return policy.CustomTrustStore.Count > 0 ? policy : throw new ArgumentException($"`{file}` holds no certificate in PEM.");
    }

    public Uri Host { get; }

    public Inference.InferenceClient Inference { get; }

    public Admin.AdminClient Admin { get; }

    public HttpClient Http { get; }

    /// <summary>Where large tensors are fetched; null before it was asked for.</summary>
    public BlobDownloadEndpoint? BlobEndpoint { get; set; }
}
