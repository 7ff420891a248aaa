using System.Buffers;
using System.Numerics;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;

namespace Ndif.Queue.Blobs;

/// <summary>
/// Uploads bytes to S3 under a key that is known only at the end, because it is the hash of the bytes:
/// 1. Data that fits into one part is buffered in memory and put under its key.
/// 2. More data is uploaded in parts under a temporary key, and the store copies it to its key at the end.
/// At most one part is in memory, in a buffer that grows with the bytes: an upload without any takes none. A stream that is disposed
/// before it was completed leaves nothing in the store.
/// </summary>
internal sealed class S3UploadStream(
    IAmazonS3 s3, string bucket, string draftKey, int partBytes, CancellationToken cancellationToken) : Stream
{
    /// <summary>The largest object that is copied in one request, and the part size of the copy of a larger object.</summary>
    private const long MaxCopyBytes = 1L << 30;

    private const int MinBufferBytes = 64 << 10;

    private byte[] _buffer = [];
    private readonly List<PartETag> _parts = [];
    private int _bufferedBytes;
    private long _uploadedBytes;
    private string? _uploadId;
    private bool _hasDraft, _isCompleted, _isDisposed;

    /// <summary>The size of the buffer of a part with so many bytes.</summary>
    public static long GetBufferBytes(long length) => (long)BitOperations.RoundUpToPowerOf2((ulong)Math.Max(length, MinBufferBytes));

    public override bool CanRead => false;
    public override bool CanSeek => false;
    public override bool CanWrite => true;
    public override long Length => _uploadedBytes + _bufferedBytes;
    public override long Position { get => Length; set => throw new NotSupportedException(); }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (buffer.Length > 0)
        {
            if (_bufferedBytes == partBytes) await UploadPartAsync(cancellationToken);
            buffer = buffer[AddToPart(buffer.Span)..];
        }
    }

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <summary>Writes synchronously, for the model thread, which serializes tensors synchronously.</summary>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        while (buffer.Length > 0)
        {
            if (_bufferedBytes == partBytes) UploadPartAsync(cancellationToken).GetAwaiter().GetResult();
            buffer = buffer[AddToPart(buffer)..];
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <summary>Copies what fits into the part, and returns how many bytes that are.</summary>
    private int AddToPart(ReadOnlySpan<byte> bytes)
    {
        int length = Math.Min(bytes.Length, partBytes - _bufferedBytes);
        if (_bufferedBytes + length > _buffer.Length)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent((int)GetBufferBytes(_bufferedBytes + length));
            _buffer.AsSpan(0, _bufferedBytes).CopyTo(larger);
            ReturnBuffer();
            _buffer = larger;
        }
        bytes[..length].CopyTo(_buffer.AsSpan(_bufferedBytes));
        _bufferedBytes += length;
        return length;
    }

    private void ReturnBuffer()
    {
        if (_buffer.Length > 0) ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
    }

    /// <summary>Stores everything that was written under this key.</summary>
    public async Task CompleteAsync(string key, CancellationToken cancellationToken)
    {
        if (_uploadId is null)
        {
            await s3.PutObjectAsync(new PutObjectRequest
            {
                BucketName = bucket, Key = key, InputStream = new MemoryStream(_buffer, 0, _bufferedBytes), UseChunkEncoding = false,
            }, cancellationToken);
            return;
        }
        if (_bufferedBytes > 0) await UploadPartAsync(cancellationToken);
        await s3.CompleteMultipartUploadAsync(
            new CompleteMultipartUploadRequest { BucketName = bucket, Key = draftKey, UploadId = _uploadId, PartETags = _parts },
            cancellationToken);
        (_hasDraft, _isCompleted) = (true, true);
        if (_uploadedBytes > MaxCopyBytes)
        {
            await CopyInPartsAsync(key, cancellationToken);
            return;
        }
        await s3.CopyObjectAsync(
            new CopyObjectRequest { SourceBucket = bucket, SourceKey = draftKey, DestinationBucket = bucket, DestinationKey = key },
            cancellationToken);
    }

    private async Task CopyInPartsAsync(string key, CancellationToken cancellationToken)
    {
        string copy = await BeginMultipartUploadAsync(key, cancellationToken);
        try
        {
            List<PartETag> copied = [];
            for (long from = 0; from < _uploadedBytes; from += MaxCopyBytes)
            {
                CopyPartResponse part = await s3.CopyPartAsync(new CopyPartRequest
                {
                    SourceBucket = bucket, SourceKey = draftKey, DestinationBucket = bucket, DestinationKey = key, UploadId = copy,
                    PartNumber = copied.Count + 1, FirstByte = from, LastByte = Math.Min(from + MaxCopyBytes, _uploadedBytes) - 1,
                }, cancellationToken);
                copied.Add(new PartETag(copied.Count + 1, part.ETag));
            }
            await s3.CompleteMultipartUploadAsync(
                new CompleteMultipartUploadRequest { BucketName = bucket, Key = key, UploadId = copy, PartETags = copied },
                cancellationToken);
        }
        catch
        {
            await AbortMultipartUploadAsync(key, copy);
            throw;
        }
    }

    private async Task UploadPartAsync(CancellationToken cancellationToken)
    {
        _uploadId ??= await BeginMultipartUploadAsync(draftKey, cancellationToken);
        UploadPartResponse sent = await s3.UploadPartAsync(new UploadPartRequest
        {
            BucketName = bucket, Key = draftKey, UploadId = _uploadId, PartNumber = _parts.Count + 1, PartSize = _bufferedBytes,
            InputStream = new MemoryStream(_buffer, 0, _bufferedBytes), UseChunkEncoding = false,
        }, cancellationToken);
        _parts.Add(new PartETag(_parts.Count + 1, sent.ETag));
        _uploadedBytes += _bufferedBytes;
        _bufferedBytes = 0;
    }

    private async Task<string> BeginMultipartUploadAsync(string key, CancellationToken cancellationToken)
    {
        var request = new InitiateMultipartUploadRequest { BucketName = bucket, Key = key };
        return (await s3.InitiateMultipartUploadAsync(request, cancellationToken)).UploadId;
    }

    private async Task AbortMultipartUploadAsync(string key, string uploadId) => await s3.AbortMultipartUploadAsync(
        new AbortMultipartUploadRequest { BucketName = bucket, Key = key, UploadId = uploadId }, CancellationToken.None);

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        if (_isDisposed) return;
        _isDisposed = true;
        ReturnBuffer();
        try
        {
            if (_uploadId is not null && !_isCompleted) await AbortMultipartUploadAsync(draftKey, _uploadId);
            else if (_hasDraft) await s3.DeleteObjectAsync(bucket, draftKey, CancellationToken.None);
        }
        catch (Exception e) when (e is AmazonServiceException or AmazonClientException or HttpRequestException)
        {
            // the store does not respond; S3BlobStore.DeleteExpiredAsync removes the draft later
        }
        GC.SuppressFinalize(this);
    }

    public override void Flush() { }

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
