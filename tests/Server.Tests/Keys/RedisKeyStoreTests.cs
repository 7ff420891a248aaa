using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;
using StackExchange.Redis;

namespace Ndif.Server.Tests.Keys;

/// <summary>Runs on a real redis-server; skipped if none is installed.</summary>
public sealed class RedisKeyStoreTests(
    RedisKeyStoreTests.RedisServer server) : KeyStoreContract, IClassFixture<RedisKeyStoreTests.RedisServer>
{
    private readonly string _prefix = $"{Guid.NewGuid():N}:";

    private protected override IKeyStore Open()
    {
        Assert.SkipWhen(server.Connection is null, "redis-server is not installed");
        return new RedisKeyStore(server.Connection!, _prefix);
    }

    [Fact]
    public async Task Keys_LieUnderThePrefix()
    {
        await new KeyService(Open(), TimeProvider.System).CreateAsync("ada", [], cancellationToken: TestGateway.Cancel);
        Assert.Equal(1, await server.Connection!.GetDatabase().HashLengthAsync(_prefix + "keys"));
    }

    /// <summary>A redis-server without persistence.</summary>
    public sealed class RedisServer : IAsyncLifetime
    {
        private Process? _process;

        public IConnectionMultiplexer? Connection { get; private set; }

        public async ValueTask InitializeAsync()
        {
            int port = FreePort();
            try
            {
                _process = Process.Start(new ProcessStartInfo("redis-server", $"--port {port} --bind 127.0.0.1 --save \"\" --appendonly no")
                {
                    RedirectStandardOutput = true,
                });
            }
            catch (System.ComponentModel.Win32Exception)
            {
                return;
            }
            while (await _process!.StandardOutput.ReadLineAsync(TestGateway.Cancel) is { } line
                && !line.Contains("Ready to accept", StringComparison.Ordinal)) { }
            Connection = await ConnectionMultiplexer.ConnectAsync($"127.0.0.1:{port}");
        }

        public async ValueTask DisposeAsync()
        {
            if (Connection is not null) await Connection.DisposeAsync();
            _process?.Kill();
            _process?.Dispose();
        }

        private static int FreePort()
        {
            using var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            return ((IPEndPoint)listener.LocalEndpoint).Port;
        }
    }
}
