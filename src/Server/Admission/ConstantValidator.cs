using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Blobs;
using Ndif.Server.Keys;

namespace Ndif.Server.Admission;

/// <summary>Validates that the caller may read the blobs of a program's constants. Each one is a lookup in the blob store.</summary>
internal sealed class ConstantValidator(IBlobStore blobs)
{
    private const int MaxConstants = 10_000;

    /// <exception cref="NdifException">
    /// LIMIT_EXCEEDED: there are too many. UNKNOWN_BLOB: there is no such blob, or the caller may not read it. CORRUPT_DATA: a blob has
    /// another length.
    /// </exception>
    public async Task ValidateAsync(Program program, Caller caller, CancellationToken cancellationToken)
    {
        if (program.Constants.Count > MaxConstants)
            throw ServerErrors.OverLimit(
                "constants", program.Constants.Count, MaxConstants, "Stack small tensors into one constant, and index it.");
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (Tensor constant in program.Constants)
            if (constant.IsBlob() && seen.Add(constant.Blob.Id))
                await ValidateAsync(constant.Blob, caller, cancellationToken);
    }

    private async Task ValidateAsync(BlobRef blob, Caller caller, CancellationToken cancellationToken)
    {
        if (!BlobIds.IsValid(blob.Id) || !await blobs.CanReadAsync(blob.Id, caller.Id, cancellationToken))
            throw ServerErrors.UnknownBlob(blob.Id);
        await using Stream content = await blobs.OpenAsync(blob.Id, cancellationToken) ?? throw ServerErrors.UnknownBlob(blob.Id);
        if ((ulong)content.Length != blob.Length) throw ServerErrors.LengthMismatch(blob.Id, blob.Length, content.Length);
    }
}
