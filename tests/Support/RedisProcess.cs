using System.ComponentModel;
using System.Globalization;

namespace Ndif.Tests.Support;

/// <summary>A real redis-server on a free port, in a folder of its own.</summary>
public static class RedisProcess
{
    /// <summary>Whether there is a redis-server on the path.</summary>
    public static bool IsInstalled => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
        .Any(folder => folder.Length > 0 && File.Exists(Path.Combine(folder, "redis-server")));

    /// <summary>Starts it and waits until it is ready.</summary>
    /// <param name="port">0: a free one.</param>
    /// <param name="durable">It writes what it does to a file, and begins with what is there.</param>
    /// <param name="users">A file of users; null for anybody.</param>
    /// <exception cref="InvalidOperationException">It is not installed; the message says how to.</exception>
    public static async Task<(ChildProcess Server, string Address)> StartAsync(string folder, int port = 0, bool durable = false, string? users = null)
    {
        if (port == 0) port = FreePort.Find();
        ChildProcess server = Start("redis", ["--port", $"{port}", "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", durable ? "yes" : "no", "--daemonize", "no", .. users is null ? (string[])[] : ["--aclfile", users]]);
        await server.WaitForLineAsync(line => line.Contains("Ready to accept connections", StringComparison.Ordinal), "that it is ready");
        return (server, $"127.0.0.1:{port}");
    }

    /// <summary>A server, a copy of it, and the sentinel that puts the copy in its place when it is gone for a second.</summary>
    /// <returns>The three, once the copy is up to date, and how a client finds whichever serves.</returns>
    public static async Task<(ChildProcess Server, ChildProcess Copy, ChildProcess Sentinel, string Address)> StartWithSentinelAsync(string folder)
    {
        (ChildProcess server, string address) = await StartAsync(folder);
        int replicaPort = FreePort.Find(), sentinelPort = FreePort.Find(), port = int.Parse(address.Split(':')[1], CultureInfo.InvariantCulture);
        ChildProcess replica = Start("redis copy", ["--port", $"{replicaPort}", "--bind", "127.0.0.1", "--dir", Directory.CreateDirectory(Path.Combine(folder, "copy")).FullName,
            "--save", "", "--replicaof", "127.0.0.1", $"{port}", "--repl-diskless-sync-delay", "0"]);
        await replica.WaitForLineAsync(line => line.Contains("MASTER <-> REPLICA sync: Finished with success", StringComparison.Ordinal), "that it is a copy");
        string file = Path.Combine(folder, "sentinel.conf"); // which the sentinel writes to
        await File.WriteAllTextAsync(file, $"""
            port {sentinelPort}
            bind 127.0.0.1
            dir {folder}
            sentinel monitor ndif 127.0.0.1 {port} 1
            sentinel down-after-milliseconds ndif 1000
            sentinel failover-timeout ndif 5000
            """);
        ChildProcess sentinel = Start("sentinel", [file, "--sentinel"]);
        await sentinel.WaitForLineAsync(line => line.Contains("+slave slave", StringComparison.Ordinal), "that it knows the copy");
        return (server, replica, sentinel, $"127.0.0.1:{sentinelPort},serviceName=ndif");
    }

    private static ChildProcess Start(string name, string[] arguments)
    {
        try
        {
            return ChildProcess.Start(name, "redis-server", arguments);
        }
        catch (Win32Exception missing)
        {
            throw new InvalidOperationException("These tests need redis-server, and it is not on the path. Install it: apt-get install redis-server.", missing);
        }
    }
}
