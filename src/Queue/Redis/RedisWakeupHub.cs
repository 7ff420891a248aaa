using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Ndif.Queue.Wakeups;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// Rings this process's bells when something is published on Redis. A channel is subscribed to when somebody first listens, and
/// once for all of them; messages carry names only, whoever wakes up looks for himself.
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
        (this._connection, this._keys, this._logger) = (connection, keys, logger);
        connection.ConnectionRestored += OnConnectionRestored;
    }

    /// <summary>A bell that rings when one of these names is published on a channel. It is heard from the moment this returns.</summary>
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

    /// <summary>Hears every message of a channel; the first handler of a channel is its only one.</summary>
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
        catch (Exception failed) when (failed is RedisException or TimeoutException)
        {
            _channels.TryRemove(new KeyValuePair<string, ChannelSubscription>(channel, subscription));
            throw QueueErrors.Unavailable("subscribe", failed);
        }
    }

    public void Dispose()
    {
        _connection.ConnectionRestored -= OnConnectionRestored;
        foreach ((string channel, ChannelSubscription subscription) in _channels) // the connection may serve other queues
            _connection.GetSubscriber().Unsubscribe(_keys.Channel(channel), subscription.Handler, CommandFlags.FireAndForget);
        _wakeups.NotifyAll();
    }

    private void OnConnectionRestored(object? sender, ConnectionFailedEventArgs e)
    {
        Log.ConnectionRestored(_logger);
        _wakeups.NotifyAll(); // what was published meanwhile was not heard
    }

    private sealed record ChannelSubscription(Action<RedisChannel, RedisValue> Handler, Task Subscribed);

    private static string Key(string channel, string name) => $"{channel} {name}";
}
