using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>Where large tensors come from: over HTTP/1.1, twice as fast as HTTP/2 for large bodies, where the service offers it.</summary>
internal sealed record BlobDownloadEndpoint(Uri Address, Version Version)
{
    private static readonly Version _http11 = new(1, 1), _http2 = new(2, 0);

    /// <summary>The connection of all other calls.</summary>
    public static BlobDownloadEndpoint ForGateway(Uri host) => new(host, _http2);

    /// <summary>
    /// The port of its own, if there is one and this client speaks to the gateway itself: behind a proxy or a tunnel that port may be
    /// anybody's.
    /// </summary>
    public static BlobDownloadEndpoint Select(Uri host, Capabilities capabilities) =>
        capabilities.HttpPort == 0 || capabilities.GrpcPort != (uint)host.Port
        ? ForGateway(host) : new BlobDownloadEndpoint(new UriBuilder(host) { Port = (int)capabilities.HttpPort }.Uri, _http11);
}
