using System.Security.Cryptography;
using Ndif.Protocol;

namespace Ndif.Queue.Blobs;

/// <summary>A write-only stream that passes bytes on and identifies the blob by the SHA-256 of its bytes.</summary>
internal sealed class HashingStream(Stream inner) : CountingStream(inner)
{
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <summary>Returns the blob, whose id is the SHA-256 of the written bytes in lower-case hex. Ends the hash.</summary>
    public override BlobRef ToBlobRef() => new() { Length = (ulong)Length, Id = Convert.ToHexStringLower(_hash.GetHashAndReset()) };

    protected override void OnWritten(ReadOnlySpan<byte> written) => _hash.AppendData(written);

    protected override void Dispose(bool disposing)
    {
        if (disposing) _hash.Dispose();
        base.Dispose(disposing);
    }
}
