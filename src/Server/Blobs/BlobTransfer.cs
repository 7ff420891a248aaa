using System.Buffers;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Grpc;
using Ndif.Server.Keys;

namespace Ndif.Server.Blobs;

/// <summary>Blobs in and out, whichever protocol carries them: who may read, how large, and whether the bytes are what was named.</summary>
internal sealed class BlobTransfer(IBlobStore blobs, GatewayOptions options, ILogger<BlobTransfer> logger)
{
    /// <summary>Opens a blob for a caller who may read it.</summary>
    /// <exception cref="NdifException">UNKNOWN_BLOB, whether it is not there or not the caller's.</exception>
    public async Task<Stream> OpenAsync(Caller caller, string id, CancellationToken cancellationToken)
    {
        if (!BlobIds.IsValid(id) || !await blobs.CanReadAsync(id, caller.Id, cancellationToken)) throw ServerErrors.UnknownBlob(id);
        return await blobs.OpenAsync(id, cancellationToken) ?? throw ServerErrors.UnknownBlob(id);
    }

    /// <summary>
    /// Which of these the caller would have to upload. A blob that only others may read counts as missing: knowing a hash is no proof
    /// of knowing the bytes. The store still keeps them once.
    /// </summary>
    public async Task<IReadOnlyList<string>> MissingAsync(Caller caller, IEnumerable<string> ids, CancellationToken cancellationToken)
    {
        var missing = new List<string>();
        foreach (string id in ids)
            if (!BlobIds.IsValid(id) || !await blobs.CanReadAsync(id, caller.Id, cancellationToken) || !await blobs.ExistsAsync(id, cancellationToken))
                missing.Add(id);
        return missing;
    }

    /// <summary>Stores what <paramref name="write"/> writes and grants it to the caller, once its hash is the one that was claimed.</summary>
    /// <param name="getExpectedId">The id the caller expects; empty for none.</param>
    /// <exception cref="NdifException">CORRUPT_DATA or LIMIT_EXCEEDED.</exception>
    public async Task<BlobRef> PutAsync(
        Caller caller, Func<string> getExpectedId, Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken)
    {
        BlobRef stored = await blobs.PutAsync(
            (target, cancel) => write(new BoundedStream(target, options.BlobBytes), cancel), cancellationToken);
        // Wrong bytes stay without a grant until they expire: nobody can read them by the name that was claimed.
        if (getExpectedId() is { Length: > 0 } expected && expected != stored.Id) throw ServerErrors.ChecksumMismatch(expected, stored.Id);
        await blobs.GrantAsync(stored.Id, caller.Id, cancellationToken: cancellationToken);
        logger.BlobStored(stored.Id, stored.Length, caller.Id);
        Telemetry.BlobBytes.Add((long)stored.Length, new KeyValuePair<string, object?>("direction", "in"));
        return stored;
    }

    /// <summary>An upload in chunks.</summary>
    public async Task<BlobRef> ReceiveAsync(Caller caller, IAsyncStreamReader<BlobChunk> chunks, CancellationToken cancellationToken)
    {
        string claimed = "";
        return await PutAsync(caller, () => claimed, async (target, cancel) =>
        {
            ulong offset = 0;
            while (await chunks.ReadNextAsync(options.RequestPatience, cancel))
            {
                BlobChunk chunk = chunks.Current;
                if (chunk.Id.Length > 0) claimed = chunk.Id;
                if (chunk.Offset != offset) throw ServerErrors.ChunkGap(offset, chunk.Offset);
                await target.WriteAsync(chunk.Data.Memory, cancel);
                offset += (ulong)chunk.Data.Length;
            }
        }, cancellationToken);
    }

    /// <summary>
    /// A download in chunks, all from one pooled buffer: WriteAsync has serialized a message before it returns, so that the buffer is
    /// free again. The gateway's memory stays flat whatever the blob's size.
    /// </summary>
    public async Task SendAsync(Caller caller, GetBlobRequest request, IServerStreamWriter<BlobChunk> chunks, CancellationToken cancellationToken)
    {
        await using Stream content = await OpenAsync(caller, request.Id, cancellationToken);
        if (request.Offset > (ulong)content.Length) throw ServerErrors.BadRange(request.Offset, content.Length);
        ulong total = (ulong)content.Length;
        ulong left = request.Length == 0 ? total - request.Offset : Math.Min(request.Length, total - request.Offset);
        ulong offset = request.Offset;
        content.Seek((long)offset, SeekOrigin.Begin);
        using IMemoryOwner<byte> buffer = MemoryPool<byte>.Shared.Rent(options.ChunkBytes);
        do
        {
            Memory<byte> part = buffer.Memory[..(int)Math.Min(left, (ulong)options.ChunkBytes)];
            await content.ReadExactlyAsync(part, cancellationToken);
            await chunks.SendAsync(
                new BlobChunk { Id = request.Id, Offset = offset, Total = total, Data = UnsafeByteOperations.UnsafeWrap(part) }, cancellationToken);
            offset += (ulong)part.Length;
            left -= (ulong)part.Length;
            Telemetry.BlobBytes.Add(part.Length, new KeyValuePair<string, object?>("direction", "out"));
        }
        while (left > 0); // an empty blob is one empty chunk
    }
}
