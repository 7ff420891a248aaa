using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Ndif.Processes;
using StackExchange.Redis;

[assembly: AssemblyFixture(typeof(Ndif.Queue.Tests.RedisServer))]

namespace Ndif.Queue.Tests;

/// <summary>A real redis-server on a free port, for the time of the tests, with the users that a deployment has.</summary>
public sealed class RedisServer : IAsyncLifetime
{
    private readonly string directory = Directory.CreateTempSubdirectory("ndif-redis-").FullName;
    private Process? process;

    public string ConnectionString { get; private set; } = "";

    /// <summary>Of the operator: tests look into everything and move clocks.</summary>
    public IConnectionMultiplexer Connection { get; private set; } = null!;

    /// <summary>Of the service's own user, with no more rights than it needs.</summary>
    public IConnectionMultiplexer Least { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        int port = FreePort();
        ConnectionString = RedisUsers.Operator($"127.0.0.1:{port}");
        try
        {
            process = Process.Start(new ProcessStartInfo("redis-server",
                ["--port", $"{port}", "--bind", "127.0.0.1", "--dir", directory, "--save", "", "--appendonly", "no", "--daemonize", "no", "--aclfile", RedisUsers.Write(directory)])
            {
                RedirectStandardOutput = true,
            })!;
        }
        catch (System.ComponentModel.Win32Exception missing)
        {
            throw new InvalidOperationException(
                "These tests need redis-server, and it is not on the path. Install it: apt-get install redis-server (tests/run.sh does).", missing);
        }
        var ready = new TaskCompletionSource();
        process.OutputDataReceived += (_, line) =>
        {
            if (line.Data is null) ready.TrySetException(new InvalidOperationException("redis-server ended before it was ready."));
            else if (line.Data.Contains("Ready to accept connections", StringComparison.Ordinal)) ready.TrySetResult();
        };
        process.BeginOutputReadLine();
        await ready.Task;
        Connection = await ConnectionMultiplexer.ConnectAsync(ConnectionString);
        Least = await ConnectionMultiplexer.ConnectAsync(RedisUsers.Service($"127.0.0.1:{port}") + ",allowAdmin=true"); // what may not be asked, the server is to refuse
    }

    public async ValueTask DisposeAsync()
    {
        if (Least is not null) await Least.DisposeAsync();
        if (Connection is not null) await Connection.DisposeAsync();
        if (process is not null)
        {
            process.Kill();
            await process.WaitForExitAsync();
            process.Dispose();
        }
        Directory.Delete(directory, recursive: true);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
