using System.Globalization;
using Ndif.Protocol;
using Ndif.Queue.Rules;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>The stored bytes of a cluster. The scripts that add and delete jobs count them (Scripts/common.lua).</summary>
internal sealed class RedisStorageAccounts(RedisCommandExecutor commands, RedisKeys keys) : IStorageAccounts
{
    public async Task<StoredBytes> GetAsync(string owner, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (owner.Length == 0)
        {
            RedisValue[] totals = await commands.ExecuteAsync(
                "storage", database => database.HashGetAsync(keys.Totals, ["queue_bytes", "blob_bytes"]));
            return new StoredBytes((long)totals[0], (long)totals[1]);
        }
        return new StoredBytes(
            (long)await commands.ExecuteAsync("storage", database => database.HashGetAsync(keys.QueueBytes, owner)),
            (long)await commands.ExecuteAsync("storage", database => database.HashGetAsync(keys.BlobBytes, owner)));
    }

    public async Task RecordUploadAsync(
        string owner, BlobRef blob, StorageLimits? limits, TimeSpan checkAfter, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        RedisResult reply = await commands.ExecuteScriptAsync(
            RedisScript.RecordUpload, owner, blob.Id, StorageRules.CountBlob(blob.Length), limits?.Format() ?? "",
            (long)checkAfter.TotalMilliseconds);
        if (ReadViolation(reply) is { } violation) throw violation;
        if ((string?)reply == "closed") throw QueueErrors.OwnerClosed();
    }

    public async Task<IReadOnlyList<StoredUpload>> ListUploadsToCheckAsync(
        int limit, TimeSpan checkAfter, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var due = (RedisResult[])(await commands.ExecuteScriptAsync(
            RedisScript.ListUploads, limit, (long)checkAfter.TotalMilliseconds))!;
        return [.. due.Select(member => ((string)member!).Split(' '))
            .Select(parts => new StoredUpload(parts[0], parts[1], long.Parse(parts[2], CultureInfo.InvariantCulture)))];
    }

    public async Task RemoveUploadsAsync(IReadOnlyCollection<StoredUpload> uploads, CancellationToken cancellationToken = default)
    {
        foreach (StoredUpload[] chunk in uploads.Chunk(256)) // a script blocks Redis while it runs
        {
            cancellationToken.ThrowIfCancellationRequested();
            await commands.ExecuteScriptAsync(
                RedisScript.RemoveUploads,
                [.. chunk.Select(upload => (RedisValue)string.Create(
                    CultureInfo.InvariantCulture, $"{upload.Owner} {upload.BlobId} {upload.Bytes}"))]);
        }
    }

    public async Task<IReadOnlyList<DeletedJob>> ListDeletedJobsAsync(int limit, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (limit <= 0) return [];
        RedisValue[] members = await commands.ExecuteAsync(
            "unused", database => database.SortedSetRangeByRankAsync(keys.Unused, 0, limit - 1));
        List<DeletedJob> jobs = [];
        foreach (string member in members.Select(member => (string)member!))
        {
            int space = member.IndexOf(' ', StringComparison.Ordinal), colon = member.IndexOf(':', StringComparison.Ordinal);
            string key = member[..space];
            RedisValue[] blobs = await commands.ExecuteAsync("unused", database => database.ListRangeAsync(keys.Blobs(key)));
            jobs.Add(new DeletedJob(key, key[(colon + 1)..], member[(space + 1)..], [.. blobs.Select(blob => (string)blob!).Distinct()]));
        }
        return jobs;
    }

    public async Task RemoveDeletedJobAsync(DeletedJob job, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await commands.ExecuteAsync("unused", database => database.KeyDeleteAsync(keys.Blobs(job.Key)));
        await commands.ExecuteAsync("unused", database => database.SortedSetRemoveAsync(keys.Unused, $"{job.Key} {job.Owner}"));
    }

    /// <summary>Reads the reply of a script that refuses to store more: the name of the limit, the stored bytes, the limit.</summary>
    public static NdifException? ReadViolation(RedisResult reply) => reply.Resp2Type != ResultType.Array ? null
        : StorageRules.ToException((string)reply[0]!, (long)reply[1], (long)reply[2]);
}
