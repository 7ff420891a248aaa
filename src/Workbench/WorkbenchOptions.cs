using System.Net;

namespace Ndif.Workbench;

/// <summary>Where the workbench listens, and the service that it is for.</summary>
public sealed record WorkbenchOptions
{
    /// <summary>The address to listen on. Default: loopback, which other machines cannot reach.</summary>
    public IPAddress Address { get; init; } = IPAddress.Loopback;

    /// <summary>The port; 0 for a free one.</summary>
    public int Port { get; init; } = 5082;

    /// <summary>The address of the gateway for gRPC, such as <c>http://127.0.0.1:5080</c>.</summary>
    public required string Gateway { get; init; }

    /// <summary>
    /// The key of sessions in which no other key was entered. It is ignored on an address that is not loopback, because everybody who
    /// reaches the page would use it.
    /// </summary>
    public string? ApiKey { get; init; }

    internal bool IsLoopback => IPAddress.IsLoopback(Address);
}
