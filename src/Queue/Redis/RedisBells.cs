using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;

namespace Ndif.Queue;

/// <summary>
/// Rings this process's bells when something is published on Redis. A channel is subscribed to when somebody first listens, and
/// once for all of them; messages carry names only, whoever wakes up looks for himself.
/// </summary>
internal sealed class RedisBells : IDisposable
{
    private readonly IConnectionMultiplexer connection;
    private readonly RedisKeys keys;
    private readonly ILogger logger;
    private readonly ConcurrentDictionary<string, Subscription> subscriptions = new();
    private readonly Bells bells = new();

    public RedisBells(IConnectionMultiplexer connection, RedisKeys keys, ILogger logger)
    {
        (this.connection, this.keys, this.logger) = (connection, keys, logger);
        connection.ConnectionRestored += Restored;
    }

    /// <summary>A bell that rings when one of these names is published on a channel. It is heard from the moment this returns.</summary>
    public async Task<Bell> ListenAsync(string channel, params IReadOnlyCollection<string> names)
    {
        Bell bell = bells.Listen([.. names.Select(name => Key(channel, name))]);
        try
        {
            await SubscribeAsync(channel, name => bells.Ring(Key(channel, name)));
            return bell;
        }
        catch
        {
            bell.Dispose();
            throw;
        }
    }

    /// <summary>Hears every message of a channel; the first handler of a channel is its only one.</summary>
    public async Task SubscribeAsync(string channel, Action<string> handle)
    {
        Subscription subscription = subscriptions.GetOrAdd(channel, name =>
        {
            void Handle(RedisChannel from, RedisValue message) => handle(message.ToString());
            return new Subscription(Handle, connection.GetSubscriber().SubscribeAsync(keys.Channel(name), Handle));
        });
        try
        {
            await subscription.Made;
        }
        catch (Exception failed) when (failed is RedisException or TimeoutException)
        {
            subscriptions.TryRemove(new KeyValuePair<string, Subscription>(channel, subscription));
            throw QueueErrors.Unavailable("subscribe", failed);
        }
    }

    public void Dispose()
    {
        connection.ConnectionRestored -= Restored;
        foreach ((string channel, Subscription subscription) in subscriptions) // the connection may serve other queues
            connection.GetSubscriber().Unsubscribe(keys.Channel(channel), subscription.Handle, CommandFlags.FireAndForget);
        bells.RingAll();
    }

    private void Restored(object? sender, ConnectionFailedEventArgs e)
    {
        Log.ConnectionRestored(logger);
        bells.RingAll(); // what was published meanwhile was not heard
    }

    private sealed record Subscription(Action<RedisChannel, RedisValue> Handle, Task Made);

    private static string Key(string channel, string name) => $"{channel} {name}";
}
