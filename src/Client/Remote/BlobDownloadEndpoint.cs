using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>
/// The address and HTTP version for downloads of large tensors. HTTP/1.1 is used where the service offers it, because it is twice as
/// fast as HTTP/2 for large bodies.
/// </summary>
internal sealed record BlobDownloadEndpoint(Uri Address, Version Version)
{
    private static readonly Version _http11 = new(1, 1), _http2 = new(2, 0);

    /// <summary>The address of the gRPC calls, over HTTP/2.</summary>
    public static BlobDownloadEndpoint ForGateway(Uri host) => new(host, _http2);

    /// <summary>
    /// The HTTP port of the gateway, if the client is connected to the gateway directly. Behind a proxy or a tunnel that port of the host
    /// may belong to another server.
    /// </summary>
    public static BlobDownloadEndpoint Select(Uri host, Capabilities capabilities) =>
        capabilities.HttpPort == 0 || capabilities.GrpcPort != (uint)host.Port
        ? ForGateway(host) : new BlobDownloadEndpoint(new UriBuilder(host) { Port = (int)capabilities.HttpPort }.Uri, _http11);
}
