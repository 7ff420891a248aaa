using System.Buffers;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server.Grpc;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;

namespace Ndif.Server.Blobs;

/// <summary>Uploads and downloads of blobs, for gRPC and HTTP: checks access, size and content hash.</summary>
internal sealed class BlobTransfer(
    IBlobStore blobs, IJobQueue jobs, GatewayOptions options, UploadLimiter uploads, ILogger<BlobTransfer> logger)
{
    private const int MaxIds = 10_000;

    /// <summary>Opens a blob that the caller may read.</summary>
    /// <exception cref="NdifException">UNKNOWN_BLOB: there is no such blob, or the caller may not read it.</exception>
    public async Task<Stream> OpenAsync(Caller caller, string id, CancellationToken cancellationToken)
    {
        if (!BlobIds.IsValid(id) || !await blobs.CanReadAsync(id, caller.Id, cancellationToken)) throw ServerErrors.UnknownBlob(id);
        return await blobs.OpenAsync(id, cancellationToken) ?? throw ServerErrors.UnknownBlob(id);
    }

    /// <summary>
    /// Returns the blobs that the caller has to upload. A blob that only others may read counts as missing, because knowing a hash does not
    /// prove knowledge of the bytes. The store keeps equal bytes once.
    /// </summary>
    /// <exception cref="NdifException">LIMIT_EXCEEDED: too many ids at once.</exception>
    public async Task<IReadOnlyList<string>> MissingAsync(
        Caller caller, IReadOnlyCollection<string> ids, CancellationToken cancellationToken)
    {
        if (ids.Count > MaxIds) throw ServerErrors.TooManyBlobIds(ids.Count, MaxIds);
        var missing = new List<string>();
        foreach (string id in ids)
        {
            bool isAvailable = BlobIds.IsValid(id) && await blobs.CanReadAsync(id, caller.Id, cancellationToken)
                && await blobs.ExistsAsync(id, cancellationToken);
            if (!isAvailable) missing.Add(id);
        }
        return missing;
    }

    /// <summary>
    /// Stores the bytes that <paramref name="write"/> writes, and grants them to the caller if they have the expected hash.
    /// </summary>
    /// <param name="getExpectedId">Returns the id that the caller expects; empty for none. Called after the last write.</param>
    /// <exception cref="NdifException">
    /// CORRUPT_DATA: the hash differs. LIMIT_EXCEEDED: the blob is too large. QUOTA_EXCEEDED: the caller may not store it. UNAVAILABLE: the
    /// store buffers uploads, and there is no memory for another one at the moment.
    /// </exception>
    public async Task<BlobRef> PutAsync(
        Caller caller, Func<string> getExpectedId, Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken)
    {
        StorageLimits limits = options.GetStorageLimits(caller.Tier);
        await jobs.Storage.ThrowIfFullAsync(caller.Id, limits, cancellationToken); // before anything is received
        BlobRef stored;
        long received = 0, reserved = 0;
        try
        {
            stored = await blobs.PutGrantedAsync(
                (target, cancel) => write(new BoundedStream(target, options.BlobBytes, OnReceived), cancel),
                // bytes with another hash are not stored
                blob => getExpectedId() is { Length: > 0 } expected && expected != blob.Id
                    ? throw ServerErrors.ChecksumMismatch(expected, blob.Id) : caller.Id,
                cancellationToken);
        }
        catch (Exception failure) when (StorageFailure.IsStorageFailure(failure))
        {
            logger.BlobNotStored(caller.Id, failure.Message);
            throw StorageFailure.ToException(failure);
        }
        await CountAsync(caller, stored, limits);
        logger.BlobStored(stored.Id, stored.Length, caller.Id);
        Telemetry.BlobBytes.Add((long)stored.Length, new KeyValuePair<string, object?>("direction", "in"));
        return stored;

        void OnReceived(int bytes)
        {
            uploads.Add(caller.Id, caller.Tier, bytes);
            received += bytes;
            if (blobs.GetUploadMemory(received) is var memory && memory <= reserved) return;
            RequestScope.Current?.ReserveUntilEnd(memory - reserved);
            reserved = memory;
        }
    }

    /// <summary>Counts a stored upload for the quota of the caller. One that is beyond it is deleted again.</summary>
    private async Task CountAsync(Caller caller, BlobRef stored, StorageLimits limits)
    {
        try
        {
            await jobs.Storage.RecordUploadAsync(caller.Id, stored, limits, StoredBytesCleanupService.UploadCheckInterval);
        }
        catch (NdifException)
        {
            await blobs.RevokeAsync(stored.Id, caller.Id);
            throw;
        }
    }

    /// <summary>Receives an upload in chunks.</summary>
    public async Task<BlobRef> ReceiveAsync(Caller caller, IAsyncStreamReader<BlobChunk> chunks, CancellationToken cancellationToken)
    {
        string expectedId = "";
        return await PutAsync(caller, () => expectedId, async (target, cancel) =>
        {
            ulong offset = 0;
            while (await chunks.ReadNextAsync(options.RequestTimeout, cancel))
            {
                BlobChunk chunk = chunks.Current;
                if (chunk.Id.Length > 0) expectedId = chunk.Id;
                if (chunk.Offset != offset) throw ServerErrors.ChunkGap(offset, chunk.Offset);
                await target.WriteAsync(chunk.Data.Memory, cancel);
                offset += (ulong)chunk.Data.Length;
            }
        }, cancellationToken);
    }

    /// <summary>
    /// Sends a download in chunks, all of them from one pooled buffer: WriteAsync has serialized the message when it returns, so the buffer
    /// can be reused. The memory use does not depend on the size of the blob.
    /// </summary>
    public async Task SendAsync(
        Caller caller, GetBlobRequest request, IServerStreamWriter<BlobChunk> chunks, CancellationToken cancellationToken)
    {
        await using Stream content = await OpenAsync(caller, request.Id, cancellationToken);
        if (request.Offset > (ulong)content.Length) throw ServerErrors.BadRange(request.Offset, content.Length);
        ulong total = (ulong)content.Length;
        ulong left = request.Length == 0 ? total - request.Offset : Math.Min(request.Length, total - request.Offset);
        ulong offset = request.Offset;
        content.Seek((long)offset, SeekOrigin.Begin);
        RequestScope.Current?.ReserveUntilEnd(2L * options.ChunkBytes); // the buffer, and a chunk that the client has not read
        using IMemoryOwner<byte> buffer = MemoryPool<byte>.Shared.Rent(options.ChunkBytes);
        do
        {
            Memory<byte> part = buffer.Memory[..(int)Math.Min(left, (ulong)options.ChunkBytes)];
            await content.ReadExactlyAsync(part, cancellationToken);
            await chunks.SendAsync(
                new BlobChunk { Id = request.Id, Offset = offset, Total = total, Data = UnsafeByteOperations.UnsafeWrap(part) },
                options.StalledReaderTimeout, cancellationToken);
            offset += (ulong)part.Length;
            left -= (ulong)part.Length;
            Telemetry.BlobBytes.Add(part.Length, new KeyValuePair<string, object?>("direction", "out"));
        }
        while (left > 0); // an empty blob is sent as one empty chunk
    }
}
