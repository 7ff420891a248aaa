using System.Globalization;

namespace Ndif.Tests.Support;

/// <summary>A real redis-server on a port of the loopback address.</summary>
public static class RedisProcess
{
    /// <summary>Whether redis-server is on the path.</summary>
    public static bool IsInstalled => ProgramPath.Find("redis-server") is not null;

    /// <summary>Starts a server and waits until it is ready.</summary>
    /// <param name="port">0 for a free port.</param>
    /// <param name="durable">Whether the server uses an append-only file and starts with its data.</param>
    /// <param name="users">An ACL file; null if anyone may connect.</param>
    /// <exception cref="InvalidOperationException">redis-server is not installed; the message says how to install it.</exception>
    public static async Task<(ChildProcess Server, string Address)> StartAsync(string folder, int port = 0, bool durable = false,
        string? users = null)
    {
        if (port == 0) port = FreePort.Find();
        ChildProcess server = StartLoading(folder, port, durable, users is null ? [] : ["--aclfile", users]);
        await server.WaitForLineAsync(line => line.Contains("Ready to accept connections", StringComparison.Ordinal), "that it is ready");
        return (server, $"127.0.0.1:{port}");
    }

    /// <summary>Starts a server and does not wait until it has loaded its data.</summary>
    /// <param name="options">More options, such as --key-load-delay, which slows the loading down (microseconds for each key).</param>
    public static ChildProcess StartLoading(string folder, int port, bool durable, params string[] options) => Start("redis",
        ["--port", $"{port}", "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", durable ? "yes" : "no",
            "--daemonize", "no", .. options]);

    /// <summary>
    /// Starts a server, its replica, and a sentinel that promotes the replica when the server has not responded for a second.
    /// </summary>
    /// <returns>The three processes, once the replica is up to date, and the address by which a client finds the current server.</returns>
    public static async Task<(ChildProcess Server, ChildProcess Replica, ChildProcess Sentinel, string Address)> StartWithSentinelAsync(
        string folder)
    {
        (ChildProcess server, string address) = await StartAsync(folder);
        int replicaPort = FreePort.Find(), sentinelPort = FreePort.Find(),
            port = int.Parse(address.Split(':')[1], CultureInfo.InvariantCulture);
        string replicaFolder = Directory.CreateDirectory(Path.Combine(folder, "replica")).FullName;
        ChildProcess replica = Start("redis replica",
            ["--port", $"{replicaPort}", "--bind", "127.0.0.1", "--dir", replicaFolder, "--save", "", "--replicaof", "127.0.0.1", $"{port}",
                "--repl-diskless-sync-delay", "0"]);
        await replica.WaitForLineAsync(line => line.Contains("MASTER <-> REPLICA sync: Finished with success", StringComparison.Ordinal),
            "that it is in sync");
        string file = Path.Combine(folder, "sentinel.conf"); // the sentinel also writes its state there
        await File.WriteAllTextAsync(file, $"""
            port {sentinelPort}
            bind 127.0.0.1
            dir {folder}
            sentinel monitor ndif 127.0.0.1 {port} 1
            sentinel down-after-milliseconds ndif 1000
            sentinel failover-timeout ndif 5000
            """);
        ChildProcess sentinel = Start("sentinel", [file, "--sentinel"]);
        await sentinel.WaitForLineAsync(line => line.Contains("+slave slave", StringComparison.Ordinal), "that it knows the replica");
        return (server, replica, sentinel, $"127.0.0.1:{sentinelPort},serviceName=ndif");
    }

    private static ChildProcess Start(string name, string[] arguments) => IsInstalled
        ? ChildProcess.Start(name, "redis-server", arguments)
        : throw new InvalidOperationException(
            "These tests need redis-server, and it is not on the path. Install it: apt-get install redis-server (tests/run.sh does).");
}
