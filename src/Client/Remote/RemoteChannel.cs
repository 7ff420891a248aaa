using System.Collections.Concurrent;
using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Grpc.Net.Client;
using Grpc.Net.Client.Balancer;
using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>The clients for one address: gRPC, and HTTP for large tensors.</summary>
internal sealed class RemoteChannel
{
    /// <summary>The largest message is the description of a model with its tokenizer; tensors come as blobs.</summary>
    private const int MaxReceivedBytes = 256 << 20;

    /// <param name="caFile">A PEM file of the authorities to trust instead of those of the machine; null for the latter.</param>
    /// <exception cref="ArgumentException">The file cannot be read.</exception>
    /// <param name="resolver">Finds the gateways of a <c>dns:///</c> address; null for DNS.</param>
    public RemoteChannel(Uri host, string? caFile, ResolverFactory? resolver = null)
    {
        X509ChainPolicy? trust = caFile is { Length: > 0 } ? LoadTrustPolicy(caFile) : null;
        SocketsHttpHandler handler = CreateHandler(trust);
        var options = new GrpcChannelOptions { HttpHandler = handler, MaxReceiveMessageSize = MaxReceivedBytes, MaxSendMessageSize = null };
        Host = host;
        if (GatewayBalancing.IsBalanced(host))
        {
            handler.ConnectCallback = null; // that of the channel
            GatewayBalancing.Configure(options, hasTls: trust is not null, resolver);
            handler.UseProxy = false; // the channel chooses the addresses to connect to
            Host = GatewayBalancing.ToHttp(host, hasTls: trust is not null)!;
        }
        GrpcChannel channel = GrpcChannel.ForAddress(host, options);
        Inference = new Inference.InferenceClient(channel);
        Admin = new Admin.AdminClient(channel);
        // a channel that balances sets the handler's ConnectCallback, so an HttpClient on the same handler could not open connections
        Http = new HttpClient(CreateHandler(trust))
        {
            BaseAddress = Host,
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
        ConnectTimeout = TimeSpan.FromMinutes(1), // see GatewayConnection
        ConnectCallback = GatewayConnection.ConnectAsync,
        SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = trust },
        Proxy = EnvironmentProxy.Current,
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

    /// <summary>The pacing of submissions by API key.</summary>
    public ConcurrentDictionary<string, SubmissionPacer> Pacers { get; } = new();

    /// <summary>The largest message that the service reads; null until it is first needed.</summary>
    public ulong? MaxMessageBytes { get; set; }

    /// <summary>The endpoint for downloads of large tensors; null until it is first needed.</summary>
    public BlobDownloadEndpoint? BlobEndpoint { get; set; }
}
