using System.Collections.Concurrent;
using System.IO.Hashing;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;
using Ndif.Queue.Rules;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>The workers of a cluster. Redis expires heartbeats by itself; model descriptions are kept.</summary>
public sealed class RedisWorkerRegistry : IWorkerRegistry
{
    private readonly QueueOptions _options;
    private readonly RedisKeys _keys;
    private readonly RedisCommandExecutor _commands;
    private readonly TimeProvider _time;
    private readonly ConcurrentDictionary<string, (RedisValue Stamp, ModelDescription Model)> _descriptionCache = new();

    public RedisWorkerRegistry(IConnectionMultiplexer connection, QueueOptions? options = null, TimeProvider? time = null)
    {
        _options = (options ?? new QueueOptions()).Validate();
        _time = time ?? TimeProvider.System;
        _keys = new RedisKeys(_options.Prefix);
        _commands = new RedisCommandExecutor(connection, _keys);
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<string>> PublishHeartbeatAsync(
        WorkerStatus worker, IReadOnlyList<ModelStatus> models, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        WorkerStatus seen = worker.Clone();
        seen.Seen = _time.GetUtcNow().ToTimestamp();
        using var bytes = new MemoryStream();
        seen.WriteDelimitedTo(bytes);
        foreach (ModelStatus model in models) model.WriteDelimitedTo(bytes);
        RedisResult shared = await _commands.ExecuteScriptAsync(
            RedisScript.Announce,
            [worker.Id, bytes.ToArray(), (long)_options.HeartbeatLifetime.TotalMilliseconds, worker.Draining ? 1 : 0,
                .. worker.Models.Select(model => (RedisValue)model)]);
        return (string[])shared!;
    }

    /// <inheritdoc/>
    public async Task UnregisterAsync(string worker, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await _commands.ExecuteAsync("leave", database => database.KeyDeleteAsync(_keys.Worker(worker)));
        await _commands.ExecuteAsync("leave", database => database.SetRemoveAsync(_keys.Workers, worker));
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<WorkerStatus>> ListWorkersAsync(CancellationToken cancellationToken = default) =>
        WorkerHeartbeat.ListWorkers(await GetLiveHeartbeatsAsync(cancellationToken));

    /// <inheritdoc/>
    public async Task<IReadOnlyList<ModelStatus>> ListModelsAsync(CancellationToken cancellationToken = default) =>
        WorkerHeartbeat.MergeModels(await GetLiveHeartbeatsAsync(cancellationToken));

    /// <inheritdoc/>
    public Task SetDescriptionAsync(ModelDescription model, CancellationToken cancellationToken = default) =>
        SetDescriptionAsync(model, ModelNames.GetNames(model.Id, model.Revision), cancellationToken);

    /// <inheritdoc/>
    public async Task SetDescriptionAsync(
        ModelDescription model, IReadOnlyCollection<string> names, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        byte[] bytes = model.ToByteArray(), stamp = XxHash128.Hash(bytes);
        await _commands.ExecuteAsync("describe", async database =>
        {
            // a full Redis refuses to write, and need not: a worker that comes back serves its models then too
            RedisValue[] stamps = await database.HashGetAsync(_keys.Stamps, [.. names.Select(name => (RedisValue)name)]);
            if (stamps.All(known => known == stamp)) return true;
            await database.HashSetAsync(_keys.Descriptions, [.. names.Select(name => new HashEntry(name, bytes))]);
            await database.HashSetAsync(_keys.Stamps, [.. names.Select(name => new HashEntry(name, stamp))]);
            return true;
        });
    }

    /// <inheritdoc/>
    public async Task RemoveDescriptionAsync(string name, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await _commands.ExecuteAsync("forget", database => database.HashDeleteAsync(_keys.Stamps, name));
        await _commands.ExecuteAsync("forget", database => database.HashDeleteAsync(_keys.Descriptions, name));
    }

    /// <inheritdoc/>
    /// <remarks>
    /// A description contains a tokenizer of several megabytes, and every submission needs it. It is cached and read again only when its
    /// checksum (stamp) has changed. The returned object is shared; do not modify it.
    /// </remarks>
    public async Task<ModelDescription?> GetDescriptionAsync(string model, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        RedisValue stamp = await _commands.ExecuteAsync("description", database => database.HashGetAsync(_keys.Stamps, model));
        if (!stamp.IsNull && _descriptionCache.TryGetValue(model, out var cached) && cached.Stamp == stamp) return cached.Model;
        RedisValue bytes = await _commands.ExecuteAsync("description", database => database.HashGetAsync(_keys.Descriptions, model));
        if (bytes.IsNull) return null;
        ModelDescription read = ModelDescription.Parser.ParseFrom((byte[])bytes!);
        if (!stamp.IsNull) _descriptionCache[model] = (stamp, read);
        return read;
    }

    private async Task<List<WorkerHeartbeat>> GetLiveHeartbeatsAsync(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        RedisValue[] ids = await _commands.ExecuteAsync("workers", database => database.SetMembersAsync(_keys.Workers));
        if (ids.Length == 0) return [];
        RedisValue[] heartbeats = await _commands.ExecuteAsync(
            "workers", database => database.StringGetAsync([.. ids.Select(id => _keys.Worker(id!))]));
        // If a worker publishes a heartbeat at this moment, its next heartbeat adds its id again.
        RedisValue[] expired = [.. ids.Where((_, i) => heartbeats[i].IsNull)];
        if (expired.Length > 0) await _commands.ExecuteAsync("workers", database => database.SetRemoveAsync(_keys.Workers, expired));
        return [.. heartbeats.Where(heartbeat => !heartbeat.IsNull).Select(heartbeat => ReadHeartbeat((byte[])heartbeat!))];
    }

    private static WorkerHeartbeat ReadHeartbeat(byte[] bytes)
    {
        using var stream = new MemoryStream(bytes);
        WorkerStatus worker = WorkerStatus.Parser.ParseDelimitedFrom(stream);
        List<ModelStatus> models = [];
        while (stream.Position < stream.Length) models.Add(ModelStatus.Parser.ParseDelimitedFrom(stream));
        return new WorkerHeartbeat(worker, models);
    }
}
