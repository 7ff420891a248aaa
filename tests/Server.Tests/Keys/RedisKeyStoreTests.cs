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

    [Fact]
    public async Task AFullRedis_StillRevokesKeys()
    {
        IKeyStore store = Open();
        CreatedKey key = await new KeyService(store, TimeProvider.System).CreateAsync("ada", [], cancellationToken: TestGateway.Cancel);
        string revision = await store.GetRevisionAsync(TestGateway.Cancel);
        await server.Connection!.GetDatabase().ExecuteAsync("CONFIG", "SET", "maxmemory", "1");
        try
        {
            DateTimeOffset now = DateTimeOffset.UtcNow;
            Assert.Equal(now, (await store.RevokeAsync(key.Record.Id, now, TestGateway.Cancel))?.Revoked);
            Assert.NotNull((await store.FindAsync(key.Record.Id, TestGateway.Cancel))?.Revoked);
            Assert.NotEqual(revision, await store.GetRevisionAsync(TestGateway.Cancel));
        }
        finally
        {
            await server.Connection!.GetDatabase().ExecuteAsync("CONFIG", "SET", "maxmemory", "0");
        }
    }

    /// <summary>A redis-server that runs during these tests. There is no connection if redis-server is not installed.</summary>
    public sealed class RedisServer : IAsyncLifetime
    {
        private readonly TempFolder _folder = new();
        private ChildProcess? _process;

        public IConnectionMultiplexer? Connection { get; private set; }

        public async ValueTask InitializeAsync()
        {
            if (!RedisProcess.IsInstalled) return;
            (_process, string address) = await RedisProcess.StartAsync(_folder.Path);
            Connection = await ConnectionMultiplexer.ConnectAsync($"{address},allowAdmin=true");
        }

        public async ValueTask DisposeAsync()
        {
            if (Connection is not null) await Connection.DisposeAsync();
            if (_process is not null) await _process.DisposeAsync();
            _folder.Dispose();
        }
    }
}
