using System.Net;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;

namespace Ndif.Queue.Blobs;

/// <summary>
/// A seekable stream over an S3 object. The first read sends the first request, a seek makes the next read request another range, and
/// a read whose connection breaks is retried from the same position.
/// </summary>
internal sealed class S3ReadStream(IAmazonS3 s3, string bucket, string key, string id, long length) : Stream
{
    /// <summary>The number of consecutive attempts without any data before a read fails.</summary>
    private const int MaxAttempts = 4;

    private GetObjectResponse? _response;
    private long _position, _responsePosition = -1;

    public override bool CanRead => true;
    public override bool CanSeek => true;
    public override bool CanWrite => false;
    public override long Length => length;
    public override long Position { get => _position; set => _position = value; }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_position >= length || buffer.Length == 0) return 0;
        Exception? last = null;
        for (int attempt = 1; attempt <= MaxAttempts; attempt++)
        {
            try
            {
                if (_response is null || _responsePosition != _position) await OpenResponseAsync(cancellationToken);
                int count = (int)Math.Min(buffer.Length, length - _position);
                int read = await _response!.ResponseStream.ReadAsync(buffer[..count], cancellationToken);
                if (read > 0)
                {
                    _position += read;
                    _responsePosition = _position;
                    return read;
                }
                last = null; // the response ended early, without an error
            }
            catch (AmazonS3Exception gone) when (gone.StatusCode == HttpStatusCode.NotFound)
            {
                throw QueueErrors.UnknownBlob(id); // deleted while it was read
            }
            catch (Exception broken) when (broken is IOException or HttpRequestException or AmazonServiceException or AmazonClientException
                && !cancellationToken.IsCancellationRequested)
            {
                last = broken;
            }
            CloseResponse();
            if (attempt < MaxAttempts) await Task.Delay(TimeSpan.FromMilliseconds(50 << attempt), cancellationToken);
        }
        throw QueueErrors.BlobReadInterrupted(id, last);
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) =>
        ReadAsync(buffer.AsMemory(offset, count), CancellationToken.None).AsTask().GetAwaiter().GetResult();

    public override long Seek(long offset, SeekOrigin origin) => _position = origin switch
    {
        SeekOrigin.Begin => offset,
        SeekOrigin.Current => _position + offset,
        _ => length + offset,
    };

    private async Task OpenResponseAsync(CancellationToken cancellationToken)
    {
        CloseResponse();
        _response = await s3.GetObjectAsync(
            new GetObjectRequest { BucketName = bucket, Key = key, ByteRange = new ByteRange(_position, length - 1) }, cancellationToken);
        _responsePosition = _position;
    }

    private void CloseResponse()
    {
        _response?.Dispose();
        _response = null;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) CloseResponse();
        base.Dispose(disposing);
    }

    public override void Flush() { }

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
