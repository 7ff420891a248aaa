using System.IO.Hashing;
using Google.Protobuf;
using Ndif.Protocol;

namespace Ndif.Queue.Blobs;

/// <summary>
/// A write-only stream that passes bytes on and identifies the blob by a random id, with an XXH128 checksum. XXH128 is ten times as fast
/// as SHA-256, but does not protect against deliberate changes.
/// </summary>
internal sealed class ChecksumStream(Stream inner) : CountingStream(inner)
{
    private readonly XxHash128 _hash = new();

    /// <summary>Returns the blob with a random id and the big-endian checksum of the written bytes.</summary>
    public override BlobRef ToBlobRef() => new()
    {
        Length = (ulong)Length, Id = BlobNames.NewRandomId(), Checksum = UnsafeByteOperations.UnsafeWrap(_hash.GetCurrentHash()),
    };

    protected override void OnWritten(ReadOnlySpan<byte> written) => _hash.Append(written);
}
