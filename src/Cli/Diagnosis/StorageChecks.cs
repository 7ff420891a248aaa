using Ndif.Cli.Commands;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Queue.Redis;
using Ndif.Server.Keys;

namespace Ndif.Cli.Diagnosis;

/// <summary>Checks the stores of a service: blobs, the space for them, and keys.</summary>
internal static class StorageChecks
{
    private const long MinFreeBytes = 1L << 30, RecommendedFreeBytes = 20L << 30;

    /// <param name="totalBytes">The bytes that all keys may store as blobs (Gateway:TotalBlobBytes).</param>
    public static async Task<IReadOnlyList<CheckResult>> CheckBlobsAsync(
        BlobOptions options, long totalBytes, CancellationToken cancellationToken)
    {
        List<CheckResult> results = [];
        byte[] bytes = Guid.NewGuid().ToByteArray();
        try
        {
            IBlobStore store = BlobStores.Open(options);
            using var owned = store as IDisposable;
            BlobRef blob = await store.PutAsync((to, cancel) => to.WriteAsync(bytes, cancel).AsTask(), cancellationToken);
            await store.GrantAsync(blob.Id, "doctor", cancellationToken: cancellationToken);
            byte[] read = new byte[bytes.Length];
            await using (Stream? stream = await store.OpenAsync(blob.Id, cancellationToken))
                if (stream is not null) await stream.ReadExactlyAsync(read, cancellationToken);
            await store.RevokeAsync(blob.Id, "doctor", cancellationToken: cancellationToken);
            bool isDeleted = !await store.ExistsAsync(blob.Id, cancellationToken);
            results.Add(!read.AsSpan().SequenceEqual(bytes)
                ? new("blobs", CheckLevel.Error, $"A blob in {options.Root} was not read as it was written.",
                    "Check the disk or the bucket.")
                : isDeleted ? new("blobs", CheckLevel.Ok, $"A blob was written, read and deleted in {options.Root}.")
                : new("blobs", CheckLevel.Error, $"A blob in {options.Root} was not deleted.", "Check the permissions."));
        }
        catch (Exception failure) when (failure is NdifException or IOException or UnauthorizedAccessException)
        {
            return [new("blobs", CheckLevel.Error, failure.Message)];
        }
        if (!options.Root.StartsWith("s3://", StringComparison.Ordinal)) results.AddRange(CheckDisk(options.Root, totalBytes));
        return results;
    }

    public static async Task<CheckResult> CheckKeysAsync(string? redis, string folder, string prefix, CancellationToken cancellationToken)
    {
        try
        {
            await using QueueBackend backend = BackendFactory.CreateQueueBackend(redis, folder, prefix);
            IReadOnlyList<KeyRecord> keys = await BackendFactory.CreateKeyStore(backend, folder, prefix).ListAsync(cancellationToken);
            string place = backend.Connection is null ? Path.Combine(Path.GetFullPath(folder), "keys.json") : $"Redis ({prefix}keys)";
            int valid = keys.Count(key => key.Revoked is null && !(key.Expires <= DateTimeOffset.UtcNow));
            return valid > 0 ? new("keys", CheckLevel.Ok, $"{valid} valid keys in {place}.")
                : new("keys", CheckLevel.Warning, $"There is no valid key in {place}.", "Create one with `ndif keys create NAME`.");
        }
        catch (Exception failure) when (failure is NdifException or StackExchange.Redis.RedisException or IOException
            or UnauthorizedAccessException)
        {
            return new("keys", CheckLevel.Error,
                failure is StackExchange.Redis.RedisException ? RedisFailures.Describe(failure) : failure.Message);
        }
    }

    private static IEnumerable<CheckResult> CheckDisk(string folder, long totalBytes)
    {
        var disk = new DriveInfo(Path.GetFullPath(folder));
        long free = disk.AvailableFreeSpace, size = disk.TotalSize;
        if (totalBytes > size)
            yield return new("blob limit", CheckLevel.Warning,
                $"All keys together may store {totalBytes / 1e9:0.#} GB of results and uploads, and the disk has {size / 1e9:0.#} GB: it "
                + "may be full before the gateways refuse them.", "Set Gateway:TotalBlobBytes below the size of the disk.");
        string text = $"{free / 1e9:0.#} GB are free for blobs.";
        yield return free < MinFreeBytes ? new("disk", CheckLevel.Error, text, "Free space, or move the blobs with --blobs.")
            : free < RecommendedFreeBytes ? new("disk", CheckLevel.Warning, text,
                "Large results fill it: use a larger disk, or a bucket.")
            : new("disk", CheckLevel.Ok, text);
    }
}
