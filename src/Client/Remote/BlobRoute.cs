using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>Where large tensors come from: over HTTP/1.1, twice as fast as HTTP/2 for large bodies, where the service offers it.</summary>
internal sealed record BlobRoute(Uri Address, Version Version)
{
    private static readonly Version s_plain = new(1, 1), s_shared = new(2, 0);

    /// <summary>The connection of all other calls.</summary>
    public static BlobRoute Shared(Uri host) => new(host, s_shared);

    /// <summary>The port of its own, if there is one.</summary>
    public static BlobRoute Of(Uri host, Capabilities capabilities) => capabilities.HttpPort == 0
        ? Shared(host) : new BlobRoute(new UriBuilder(host) { Port = (int)capabilities.HttpPort }.Uri, s_plain);
}
