using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Blobs;
using Ndif.Server.Keys;

namespace Ndif.Server.Admission;

/// <summary>Validates the constants of a program: their total size, and that the caller may read the blobs they refer to.</summary>
internal sealed class ConstantValidator(IBlobStore blobs)
{
    /// <exception cref="NdifException">LIMIT_EXCEEDED: the constants are too large.</exception>
    public static void ValidateSize(Program program, ProgramLimits limits)
    {
        ulong bytes = 0;
        foreach (Tensor constant in program.Constants)
        {
            ulong length = constant.IsBlob() ? constant.Blob.Length : (ulong)constant.Inline.Length;
            bytes = ulong.MaxValue - bytes < length ? ulong.MaxValue : bytes + length;
        }
        if (bytes > limits.ConstantBytes)
            throw ServerErrors.OverLimit(
                "bytes of constants", bytes > long.MaxValue ? long.MaxValue : (long)bytes, (long)limits.ConstantBytes,
                "Send them in a narrower dtype, or split the experiment.");
    }

    /// <exception cref="NdifException">
    /// UNKNOWN_BLOB: there is no such blob, or the caller may not read it. CORRUPT_DATA: a blob has another length.
    /// </exception>
    public async Task ValidateAsync(Program program, Caller caller, CancellationToken cancellationToken)
    {
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
