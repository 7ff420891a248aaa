using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Ndif.Processes;
using StackExchange.Redis;

[assembly: AssemblyFixture(typeof(Ndif.Queue.Tests.Support.RedisServer))]

namespace Ndif.Queue.Tests.Support;

/// <summary>A real redis-server on a free port, with the users of deploy/redis/users.acl.</summary>
public sealed class RedisServer : IAsyncLifetime
{
    private readonly string _directory = Directory.CreateTempSubdirectory("ndif-redis-").FullName;
    private Process? _process;

    public string ConnectionString { get; private set; } = "";

    /// <summary>The connection of the operator, with which tests read all keys and move deadlines.</summary>
    public IConnectionMultiplexer OperatorConnection { get; private set; } = null!;

    /// <summary>The connection of the service's user, which has only the permissions it needs.</summary>
    public IConnectionMultiplexer ServiceConnection { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        int port = FreePort();
        ConnectionString = RedisUsers.Operator($"127.0.0.1:{port}");
        try
        {
            _process = Process.Start(new ProcessStartInfo("redis-server",
                ["--port", $"{port}", "--bind", "127.0.0.1", "--dir", _directory, "--save", "", "--appendonly", "no", "--daemonize", "no",
                "--aclfile", RedisUsers.Write(_directory)])
            {
                RedirectStandardOutput = true,
            })!;
        }
        catch (System.ComponentModel.Win32Exception missing)
        {
            throw new InvalidOperationException(
                "These tests need redis-server, and it is not on the path. Install it: apt-get install redis-server (tests/run.sh does).",
                missing);
        }
        var ready = new TaskCompletionSource();
        _process.OutputDataReceived += (_, line) =>
        {
            if (line.Data is null) ready.TrySetException(new InvalidOperationException("redis-server ended before it was ready."));
            else if (line.Data.Contains("Ready to accept connections", StringComparison.Ordinal)) ready.TrySetResult();
        };
        _process.BeginOutputReadLine();
        await ready.Task;
        OperatorConnection = await ConnectionMultiplexer.ConnectAsync(ConnectionString);
        // the server refuses commands that are not permitted
        ServiceConnection = await ConnectionMultiplexer.ConnectAsync(RedisUsers.Service($"127.0.0.1:{port}") + ",allowAdmin=true");
    }

    public async ValueTask DisposeAsync()
    {
        if (ServiceConnection is not null) await ServiceConnection.DisposeAsync();
        if (OperatorConnection is not null) await OperatorConnection.DisposeAsync();
        if (_process is not null)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
            _process.Dispose();
        }
        Directory.Delete(_directory, recursive: true);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
