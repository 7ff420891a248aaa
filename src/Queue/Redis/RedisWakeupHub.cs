using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Ndif.Queue.Wakeups;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// Forwards Redis pub/sub messages to the wake-up subscriptions of this process. The first subscriber of a channel subscribes the process
/// to it, once for all subscribers. Messages carry only names; a caller that wakes up reads the state itself.
/// </summary>
internal sealed class RedisWakeupHub : IDisposable
{
    private readonly IConnectionMultiplexer _connection;
    private readonly RedisKeys _keys;
    private readonly ILogger _logger;
    private readonly ConcurrentDictionary<string, ChannelSubscription> _channels = new();
    private readonly WakeupHub _wakeups = new();

    public RedisWakeupHub(IConnectionMultiplexer connection, RedisKeys keys, ILogger logger)
    {
        (_connection, _keys, _logger) = (connection, keys, logger);
        connection.ConnectionRestored += OnConnectionRestored;
    }

    /// <summary>Subscribes to these names on a channel. The subscription is active when this method returns.</summary>
    public async Task<WakeupSubscription> SubscribeAsync(string channel, params IReadOnlyCollection<string> names)
    {
        WakeupSubscription wakeup = _wakeups.Subscribe([.. names.Select(name => Key(channel, name))]);
        try
        {
            await HandleMessagesAsync(channel, name => _wakeups.Notify(Key(channel, name)));
            return wakeup;
        }
        catch
        {
            wakeup.Dispose();
            throw;
        }
    }

    /// <summary>Handles every message of a channel. A channel has one handler: the first one.</summary>
    public async Task HandleMessagesAsync(string channel, Action<string> handler)
    {
        ChannelSubscription subscription = _channels.GetOrAdd(channel, name =>
        {
            void Handle(RedisChannel from, RedisValue message) => handler(message.ToString());
            return new ChannelSubscription(Handle, _connection.GetSubscriber().SubscribeAsync(_keys.Channel(name), Handle));
        });
        try
        {
            await subscription.Subscribed;
        }
        catch (Exception failed) when (RedisFailures.IsFailure(failed))
        {
            _channels.TryRemove(new KeyValuePair<string, ChannelSubscription>(channel, subscription));
            throw QueueErrors.Unavailable("subscribe", failed, RedisFailures.Explain(failed));
        }
    }

    public void Dispose()
    {
        _connection.ConnectionRestored -= OnConnectionRestored;
        foreach ((string channel, ChannelSubscription subscription) in _channels) // the connection may be shared
            _connection.GetSubscriber().Unsubscribe(_keys.Channel(channel), subscription.Handler, CommandFlags.FireAndForget);
        _wakeups.NotifyAll();
    }

    private void OnConnectionRestored(object? sender, ConnectionFailedEventArgs e)
    {
        Log.ConnectionRestored(_logger);
        _wakeups.NotifyAll(); // messages that were published in the meantime are lost
    }

    private sealed record ChannelSubscription(Action<RedisChannel, RedisValue> Handler, Task Subscribed);

    private static string Key(string channel, string name) => $"{channel} {name}";
}
