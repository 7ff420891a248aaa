using StackExchange.Redis;

[assembly: AssemblyFixture(typeof(Ndif.Queue.Tests.Support.RedisServer))]

namespace Ndif.Queue.Tests.Support;

/// <summary>A real redis-server on a free port, with the users of deploy/redis/users.acl.</summary>
public sealed class RedisServer : IAsyncLifetime
{
    private readonly TempFolder _folder = new();
    private ChildProcess? _process;

    public string ConnectionString { get; private set; } = "";

    /// <summary>The connection of the operator, with which tests read all keys and move deadlines.</summary>
    public IConnectionMultiplexer OperatorConnection { get; private set; } = null!;

    /// <summary>The connection of the service's user, which has only the permissions it needs.</summary>
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
