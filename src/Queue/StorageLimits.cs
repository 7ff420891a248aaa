using System.Globalization;

namespace Ndif.Queue;

/// <summary>The limits on what one owner stores, and on what all owners store together, in bytes.</summary>
/// <param name="QueueBytes">Programs, events and answers of the owner's jobs, and its published edits, which are in Redis.</param>
/// <param name="BlobBytes">Results and uploads of the owner, which are in the blob store.</param>
public sealed record StorageLimits(
    long QueueBytes = long.MaxValue, long BlobBytes = long.MaxValue, long AllQueueBytes = long.MaxValue, long AllBlobBytes = long.MaxValue)
{
    /// <summary>The limits as the scripts read them (Redis/Scripts/common.lua).</summary>
    internal string Format() => string.Create(CultureInfo.InvariantCulture, $"{QueueBytes} {BlobBytes} {AllQueueBytes} {AllBlobBytes}");

    internal static StorageLimits? Parse(string? text)
    {
        if (text?.Split(' ') is not { Length: 4 } parts) return null;
        long[] limits = [.. parts.Select(part => long.Parse(part, CultureInfo.InvariantCulture))];
        return new StorageLimits(limits[0], limits[1], limits[2], limits[3]);
    }
}

/// <summary>The bytes that an owner stores, or that all owners store.</summary>
public sealed record StoredBytes(long Queue, long Blobs);
