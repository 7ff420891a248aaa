namespace Ndif.Server.Blobs;

/// <summary>A write-only stream that passes bytes on, and throws LIMIT_EXCEEDED when a limit is exceeded.</summary>
/// <param name="onBytes">Called with the number of bytes before each write. It may throw.</param>
internal sealed class BoundedStream(Stream inner, long maxBytes, Action<int>? onBytes = null) : Stream
{
    private long _bytesWritten;

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        AddWritten(buffer.Length);
        await inner.WriteAsync(buffer, cancellationToken);
    }

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override void Write(byte[] buffer, int offset, int count)
    {
        AddWritten(count);
        inner.Write(buffer, offset, count);
    }

    private void AddWritten(int bytes)
    {
        _bytesWritten += bytes;
        if (_bytesWritten > maxBytes) throw ServerErrors.BlobTooLarge(maxBytes);
        onBytes?.Invoke(bytes);
    }

    public override void Flush() => inner.Flush();
    public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);
    public override bool CanRead => false;
    public override bool CanSeek => false;
    public override bool CanWrite => true;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
}
