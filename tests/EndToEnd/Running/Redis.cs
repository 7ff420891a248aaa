using System.ComponentModel;
using System.Net;
using System.Net.Sockets;

namespace Ndif.EndToEnd;

/// <summary>A real redis-server on a free port, in a folder of its own.</summary>
internal static class Redis
{
    /// <summary>Starts it and waits until it is ready.</summary>
    /// <exception cref="InvalidOperationException">It is not installed; the message says how to.</exception>
    public static async Task<(Child Server, string Address)> StartAsync(string folder)
    {
        int port = FreePort();
        Child server;
        try
        {
            server = Child.Start("redis", "redis-server",
                ["--port", $"{port}", "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no", "--daemonize", "no"]);
        }
        catch (Win32Exception missing)
        {
            throw new InvalidOperationException("These tests need redis-server, and it is not on the path. Install it: apt-get install redis-server.", missing);
        }
        await server.LineAsync(line => line.Contains("Ready to accept connections", StringComparison.Ordinal), "that it is ready");
        return (server, $"127.0.0.1:{port}");
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
