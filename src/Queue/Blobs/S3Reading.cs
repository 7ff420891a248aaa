using System.Net;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;

namespace Ndif.Queue;

/// <summary>
/// A blob in a bucket, read from wherever one likes: nothing is asked for before the first read, a seek begins another range, and a
/// connection that breaks is followed by another one from there.
/// </summary>
internal sealed class S3Reading(IAmazonS3 s3, string bucket, string key, string id, long length) : Stream
{
    /// <summary>Breaks without a byte in between that are borne.</summary>
    private const int Attempts = 4;

    private GetObjectResponse? response;
    private long position, at = -1;

    public override bool CanRead => true;
    public override bool CanSeek => true;
    public override bool CanWrite => false;
    public override long Length => length;
    public override long Position { get => position; set => position = value; }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (position >= length || buffer.Length == 0) return 0;
        Exception? last = null;
        for (int attempt = 1; attempt <= Attempts; attempt++)
        {
            try
            {
                if (response is null || at != position) await BeginAsync(cancellationToken);
                int read = await response!.ResponseStream.ReadAsync(buffer[..(int)Math.Min(buffer.Length, length - position)], cancellationToken);
                if (read > 0)
                {
                    position += read;
                    at = position;
                    return read;
                }
                last = null; // ended early, without saying so
            }
            catch (AmazonS3Exception gone) when (gone.StatusCode == HttpStatusCode.NotFound)
            {
                throw QueueErrors.UnknownBlob(id); // it was deleted while it was read
            }
            catch (Exception broken) when (broken is IOException or HttpRequestException or AmazonServiceException or AmazonClientException && !cancellationToken.IsCancellationRequested)
            {
                last = broken;
            }
            End();
            if (attempt < Attempts) await Task.Delay(TimeSpan.FromMilliseconds(50 << attempt), cancellationToken);
        }
        throw QueueErrors.BlobCutOff(id, last);
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count), CancellationToken.None).AsTask().GetAwaiter().GetResult();

    public override long Seek(long offset, SeekOrigin origin) => position = origin switch
    {
        SeekOrigin.Begin => offset,
        SeekOrigin.Current => position + offset,
        _ => length + offset,
    };

    private async Task BeginAsync(CancellationToken cancellationToken)
    {
        End();
        response = await s3.GetObjectAsync(
            new GetObjectRequest { BucketName = bucket, Key = key, ByteRange = new ByteRange(position, length - 1) }, cancellationToken);
        at = position;
    }

    private void End()
    {
        response?.Dispose();
        response = null;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) End();
        base.Dispose(disposing);
    }

    public override void Flush() { }

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
