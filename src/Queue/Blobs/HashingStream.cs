using System.IO.Hashing;
using System.Security.Cryptography;
using Google.Protobuf;
using Ndif.Protocol;

namespace Ndif.Queue.Blobs;

/// <summary>Passes on what is written, and knows its SHA-256 and its length at the end.</summary>
internal sealed class HashingStream(Stream inner) : CountingStream(inner)
{
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <summary>Named by the lower-case hex of the SHA-256 of all that was written. Ends the hash.</summary>
    public override BlobRef ToBlobRef() => new() { Length = (ulong)Length, Id = Convert.ToHexStringLower(_hash.GetHashAndReset()) };

    protected override void OnWritten(ReadOnlySpan<byte> written) => _hash.AppendData(written);

    protected override void Dispose(bool disposing)
    {
        if (disposing) _hash.Dispose();
        base.Dispose(disposing);
    }
}

/// <summary>Passes on what is written, and knows its XXH128 and its length at the end: ten times as fast as SHA-256, and no proof against malice.</summary>
internal sealed class ChecksumStream(Stream inner) : CountingStream(inner)
{
    private readonly XxHash128 _hash = new();

    /// <summary>Named by chance, with the checksum (big-endian) of all that was written.</summary>
    public override BlobRef ToBlobRef() => new() { Length = (ulong)Length, Id = BlobNames.NewRandomId(), Checksum = UnsafeByteOperations.UnsafeWrap(_hash.GetCurrentHash()) };

    protected override void OnWritten(ReadOnlySpan<byte> written) => _hash.Append(written);
}

/// <summary>Passes on what is written, looks at it on the way, and counts it.</summary>
internal abstract class CountingStream(Stream inner) : Stream
{
    private long _length;

    /// <summary>What was written as a blob, once all of it was.</summary>
    public abstract BlobRef ToBlobRef();

    /// <summary>Sees each piece once, in order, after it was passed on.</summary>
    protected abstract void OnWritten(ReadOnlySpan<byte> written);

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => _length;

    public override long Position
    {
        get => _length;
        set => throw new NotSupportedException();
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        inner.Write(buffer);
        Count(buffer);
    }

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        await inner.WriteAsync(buffer, cancellationToken);
        Count(buffer.Span);
    }

    public override void Flush() => inner.Flush();

    public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing) inner.Dispose();
        base.Dispose(disposing);
    }

    private void Count(ReadOnlySpan<byte> written)
    {
        OnWritten(written);
        _length += written.Length;
    }
}
