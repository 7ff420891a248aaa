using System.ComponentModel;
using System.Net;
using System.Net.Sockets;

namespace Ndif.Processes;

/// <summary>A real redis-server on a free port, in a folder of its own.</summary>
public static class Redis
{
    /// <summary>Starts it and waits until it is ready.</summary>
    /// <param name="port">0: a free one.</param>
    /// <param name="durable">It writes what it does to a file, and begins with what is there.</param>
    /// <exception cref="InvalidOperationException">It is not installed; the message says how to.</exception>
    public static async Task<(Child Server, string Address)> StartAsync(string folder, int port = 0, bool durable = false)
    {
        if (port == 0) port = FreePort();
        Child server;
        try
        {
            server = Child.Start("redis", "redis-server",
                ["--port", $"{port}", "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", durable ? "yes" : "no", "--daemonize", "no"]);
        }
        catch (Win32Exception missing)
        {
            throw new InvalidOperationException("These tests need redis-server, and it is not on the path. Install it: apt-get install redis-server.", missing);
        }
        await server.LineAsync(line => line.Contains("Ready to accept connections", StringComparison.Ordinal), "that it is ready");
        return (server, $"127.0.0.1:{port}");
    }

    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
