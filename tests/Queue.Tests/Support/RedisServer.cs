using StackExchange.Redis;

[assembly: AssemblyFixture(typeof(Ndif.Queue.Tests.Support.RedisServer))]

namespace Ndif.Queue.Tests.Support;

/// <summary>A real redis-server on a free port, for the time of the tests, with the users that a deployment has.</summary>
public sealed class RedisServer : IAsyncLifetime
{
    private readonly TempFolder _folder = new();
    private ChildProcess? _process;

    public string ConnectionString { get; private set; } = "";

    /// <summary>Of the operator: tests look into everything and move clocks.</summary>
    public IConnectionMultiplexer OperatorConnection { get; private set; } = null!;

    /// <summary>Of the service's own user, with no more rights than it needs.</summary>
    public IConnectionMultiplexer ServiceConnection { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        (_process, string address) = await RedisProcess.StartAsync(_folder.Path, users: RedisUsers.Write(_folder.Path));
        ConnectionString = RedisUsers.Operator(address);
        OperatorConnection = await ConnectionMultiplexer.ConnectAsync(ConnectionString);
        // the client may ask for administrative commands, so that the server is the one that refuses them
        ServiceConnection = await ConnectionMultiplexer.ConnectAsync(RedisUsers.Service(address) + ",allowAdmin=true");
    }

    public async ValueTask DisposeAsync()
    {
        if (ServiceConnection is not null) await ServiceConnection.DisposeAsync();
        if (OperatorConnection is not null) await OperatorConnection.DisposeAsync();
        if (_process is not null) await _process.DisposeAsync();
        _folder.Dispose();
    }
}
