using System.Buffers;
using Amazon.S3;
using Amazon.S3.Model;

namespace Ndif.Queue;

/// <summary>
/// Bytes on their way into a bucket under a name that is known only at their end (it is their hash):
/// 1. what fits into one part is kept in memory, and put under its name;
/// 2. more goes part by part under a passing name, and is copied inside of the store at the end.
/// No more than one part is in memory. Disposed before it was finished, it leaves nothing.
/// </summary>
internal sealed class S3Upload(IAmazonS3 s3, string bucket, string draft, int partBytes, CancellationToken cancellationToken) : Stream
{
    /// <summary>The largest object that one request may copy, and the size of the copy's parts beyond it.</summary>
    private const long CopyBytes = 1L << 30;

    private readonly byte[] part = ArrayPool<byte>.Shared.Rent(partBytes);
    private readonly List<PartETag> parts = [];
    private int filled;
    private long uploaded;
    private string? uploadId;
    private bool hasDraft, isOver, disposed;

    public override bool CanRead => false;
    public override bool CanSeek => false;
    public override bool CanWrite => true;
    public override long Length => uploaded + filled;
    public override long Position { get => Length; set => throw new NotSupportedException(); }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (buffer.Length > 0)
        {
            if (filled == partBytes) await SendAsync(cancellationToken);
            int length = Math.Min(buffer.Length, partBytes - filled);
            buffer[..length].CopyTo(part.AsMemory(filled));
            filled += length;
            buffer = buffer[length..];
        }
    }

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <summary>For the engine's thread, which writes a tensor and waits.</summary>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        while (buffer.Length > 0)
        {
            if (filled == partBytes) SendAsync(cancellationToken).GetAwaiter().GetResult();
            int length = Math.Min(buffer.Length, partBytes - filled);
            buffer[..length].CopyTo(part.AsSpan(filled));
            filled += length;
            buffer = buffer[length..];
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <summary>Puts all that was written under its name.</summary>
    public async Task FinishAsync(string key, CancellationToken cancellationToken)
    {
        if (uploadId is null)
        {
            await s3.PutObjectAsync(new PutObjectRequest { BucketName = bucket, Key = key, InputStream = new MemoryStream(part, 0, filled), UseChunkEncoding = false }, cancellationToken);
            return;
        }
        if (filled > 0) await SendAsync(cancellationToken);
        await s3.CompleteMultipartUploadAsync(new CompleteMultipartUploadRequest { BucketName = bucket, Key = draft, UploadId = uploadId, PartETags = parts }, cancellationToken);
        (hasDraft, isOver) = (true, true);
        if (uploaded <= CopyBytes)
            await s3.CopyObjectAsync(new CopyObjectRequest { SourceBucket = bucket, SourceKey = draft, DestinationBucket = bucket, DestinationKey = key }, cancellationToken);
        else await CopyInPartsAsync(key, cancellationToken);
    }

    private async Task CopyInPartsAsync(string key, CancellationToken cancellationToken)
    {
        string copy = (await s3.InitiateMultipartUploadAsync(new InitiateMultipartUploadRequest { BucketName = bucket, Key = key }, cancellationToken)).UploadId;
        try
        {
            List<PartETag> copied = [];
            for (long from = 0; from < uploaded; from += CopyBytes)
            {
                CopyPartResponse one = await s3.CopyPartAsync(new CopyPartRequest
                {
                    SourceBucket = bucket, SourceKey = draft, DestinationBucket = bucket, DestinationKey = key, UploadId = copy, PartNumber = copied.Count + 1,
                    FirstByte = from, LastByte = Math.Min(from + CopyBytes, uploaded) - 1,
                }, cancellationToken);
                copied.Add(new PartETag(copied.Count + 1, one.ETag));
            }
            await s3.CompleteMultipartUploadAsync(new CompleteMultipartUploadRequest { BucketName = bucket, Key = key, UploadId = copy, PartETags = copied }, cancellationToken);
        }
        catch
        {
            await s3.AbortMultipartUploadAsync(new AbortMultipartUploadRequest { BucketName = bucket, Key = key, UploadId = copy }, CancellationToken.None);
            throw;
        }
    }

    private async Task SendAsync(CancellationToken cancellationToken)
    {
        uploadId ??= (await s3.InitiateMultipartUploadAsync(new InitiateMultipartUploadRequest { BucketName = bucket, Key = draft }, cancellationToken)).UploadId;
        UploadPartResponse sent = await s3.UploadPartAsync(new UploadPartRequest
        {
            BucketName = bucket, Key = draft, UploadId = uploadId, PartNumber = parts.Count + 1, PartSize = filled,
            InputStream = new MemoryStream(part, 0, filled), UseChunkEncoding = false,
        }, cancellationToken);
        parts.Add(new PartETag(parts.Count + 1, sent.ETag));
        uploaded += filled;
        filled = 0;
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        if (disposed) return;
        disposed = true;
        ArrayPool<byte>.Shared.Return(part);
        try
        {
            if (uploadId is not null && !isOver)
                await s3.AbortMultipartUploadAsync(new AbortMultipartUploadRequest { BucketName = bucket, Key = draft, UploadId = uploadId }, CancellationToken.None);
            else if (hasDraft) await s3.DeleteObjectAsync(bucket, draft, CancellationToken.None);
        }
        catch (Exception e) when (e is Amazon.Runtime.AmazonServiceException or Amazon.Runtime.AmazonClientException or HttpRequestException)
        {
            // the store does not answer; a later sweep finds it
        }
        GC.SuppressFinalize(this);
    }

    public override void Flush() { }

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
