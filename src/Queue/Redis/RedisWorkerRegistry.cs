using System.Collections.Concurrent;
using System.IO.Hashing;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;
using StackExchange.Redis;

namespace Ndif.Queue;

/// <summary>The workers of a cluster: heartbeats that Redis lets expire, descriptions that stay.</summary>
public sealed class RedisWorkerRegistry : IWorkerRegistry
{
    private readonly QueueOptions options;
    private readonly RedisKeys keys;
    private readonly RedisCalls calls;
    private readonly TimeProvider time;
    private readonly ConcurrentDictionary<string, (RedisValue Stamp, ModelDescription Model)> descriptions = new();

    public RedisWorkerRegistry(IConnectionMultiplexer connection, QueueOptions? options = null, TimeProvider? time = null)
    {
        this.options = (options ?? new QueueOptions()).Validate();
        this.time = time ?? TimeProvider.System;
        keys = new RedisKeys(this.options.Prefix);
        calls = new RedisCalls(connection, keys);
    }

    /// <inheritdoc/>
    public async Task AnnounceAsync(WorkerStatus worker, IReadOnlyList<ModelStatus> models, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        WorkerStatus seen = worker.Clone();
        seen.Seen = time.GetUtcNow().ToTimestamp();
        using var bytes = new MemoryStream();
        seen.WriteDelimitedTo(bytes);
        foreach (ModelStatus model in models) model.WriteDelimitedTo(bytes);
        await calls.CallAsync("announce", async database =>
        {
            ITransaction both = database.CreateTransaction();
            Task<bool> set = both.StringSetAsync(keys.Worker(worker.Id), bytes.ToArray(), options.HeartbeatLifetime);
            Task<bool> add = both.SetAddAsync(keys.Workers, worker.Id);
            bool done = await both.ExecuteAsync();
            await Task.WhenAll(set, add);
            return done;
        });
    }

    /// <inheritdoc/>
    public async Task LeaveAsync(string worker, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await calls.CallAsync("leave", database => database.KeyDeleteAsync(keys.Worker(worker)));
        await calls.CallAsync("leave", database => database.SetRemoveAsync(keys.Workers, worker));
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<WorkerStatus>> WorkersAsync(CancellationToken cancellationToken = default) =>
        Announcement.Workers(await LivingAsync(cancellationToken));

    /// <inheritdoc/>
    public async Task<IReadOnlyList<ModelStatus>> ModelsAsync(CancellationToken cancellationToken = default) =>
        Announcement.Merge(await LivingAsync(cancellationToken));

    /// <inheritdoc/>
    public Task DescribeAsync(ModelDescription model, CancellationToken cancellationToken = default) =>
        DescribeAsync(model, [.. Announcement.NamesOf(model)], cancellationToken);

    /// <inheritdoc/>
    public async Task DescribeAsync(ModelDescription model, IReadOnlyCollection<string> names, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        byte[] bytes = model.ToByteArray(), stamp = XxHash128.Hash(bytes);
        await calls.CallAsync("describe", async database =>
        {
            await database.HashSetAsync(keys.Descriptions, [.. names.Select(name => new HashEntry(name, bytes))]);
            await database.HashSetAsync(keys.Stamps, [.. names.Select(name => new HashEntry(name, stamp))]);
            return true;
        });
    }

    /// <inheritdoc/>
    public async Task ForgetAsync(string name, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await calls.CallAsync("forget", database => database.HashDeleteAsync(keys.Stamps, name));
        await calls.CallAsync("forget", database => database.HashDeleteAsync(keys.Descriptions, name));
    }

    /// <inheritdoc/>
    /// <remarks>
    /// A description holds a tokenizer of megabytes, and every submission asks for it: it is read again only when its stamp is another
    /// one. What is returned is shared, and not to be changed.
    /// </remarks>
    public async Task<ModelDescription?> DescriptionAsync(string model, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        RedisValue stamp = await calls.CallAsync("description", database => database.HashGetAsync(keys.Stamps, model));
        if (!stamp.IsNull && descriptions.TryGetValue(model, out (RedisValue Stamp, ModelDescription Model) known) && known.Stamp == stamp) return known.Model;
        RedisValue bytes = await calls.CallAsync("description", database => database.HashGetAsync(keys.Descriptions, model));
        if (bytes.IsNull) return null;
        ModelDescription read = ModelDescription.Parser.ParseFrom((byte[])bytes!);
        if (!stamp.IsNull) descriptions[model] = (stamp, read);
        return read;
    }

    private async Task<List<Announcement>> LivingAsync(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        RedisValue[] ids = await calls.CallAsync("workers", database => database.SetMembersAsync(keys.Workers));
        if (ids.Length == 0) return [];
        RedisValue[] beats = await calls.CallAsync("workers", database => database.StringGetAsync([.. ids.Select(id => keys.Worker(id!))]));
        RedisValue[] gone = [.. ids.Where((_, i) => beats[i].IsNull)];
        if (gone.Length > 0) await calls.CallAsync("workers", database => database.SetRemoveAsync(keys.Workers, gone)); // the next heartbeat adds it again
        return [.. beats.Where(beat => !beat.IsNull).Select(beat => Read((byte[])beat!))];
    }

    private static Announcement Read(byte[] bytes)
    {
        using var stream = new MemoryStream(bytes);
        WorkerStatus worker = WorkerStatus.Parser.ParseDelimitedFrom(stream);
        List<ModelStatus> models = [];
        while (stream.Position < stream.Length) models.Add(ModelStatus.Parser.ParseDelimitedFrom(stream));
        return new Announcement(worker, models);
    }
}
