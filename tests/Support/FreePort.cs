using System.Net;
using System.Net.Sockets;

namespace Ndif.Tests.Support;

/// <summary>TCP ports for programs that cannot choose one themselves.</summary>
public static class FreePort
{
    /// <summary>A port of the loopback address on which nothing listens now.</summary>
    public static int Find()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
