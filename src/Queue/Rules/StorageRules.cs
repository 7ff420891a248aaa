using Ndif.Protocol;

namespace Ndif.Queue.Rules;

/// <summary>What counts as stored bytes, and the errors of the limits. Redis/Scripts/common.lua has the same numbers.</summary>
internal static class StorageRules
{
    /// <summary>What Redis needs for a job, an event and an upload beyond their own bytes.</summary>
    public const int JobBytes = 4096, EventBytes = 160, UploadBytes = 320;

    /// <summary>What a blob needs beyond its own bytes: the file, the folder of its grants, and its id in the queue.</summary>
    private const int BlobOverhead = 8192;

    /// <summary>What Redis needs for published edits beyond their own bytes: entries of four hashes, with the longest name.</summary>
    private const int EditsBytes = 1024;

    /// <summary>The bytes of published edits in the queue: they are there whole, and without their blobs for lists.</summary>
    public static long CountEdits(EditsInfo edits) => edits.CalculateSize() + edits.WithoutBlobs().CalculateSize() + EditsBytes;

    public static long CountBlob(ulong length) => (long)Math.Min(length, long.MaxValue / 4) + BlobOverhead;

    /// <summary>The blobs that an event refers to, each once: references to the same tensor have the same blob.</summary>
    public static IEnumerable<BlobRef> GetBlobs(Event jobEvent) => (jobEvent.KindCase switch
    {
        Event.KindOneofCase.Value => jobEvent.Value.Data.BlobTensors(),
        Event.KindOneofCase.Local => jobEvent.Local.Values.SelectMany(DataTensors.BlobTensors),
        _ => [],
    }).Select(tensor => tensor.Blob).DistinctBy(blob => blob.Id);

    /// <summary>Returns the error for the first limit that more bytes would exceed, or null. The script checks in the same order.</summary>
    public static Exception? GetViolation(
        StorageLimits? limits, StoredBytes own, StoredBytes all, long moreQueueBytes, long moreBlobBytes)
    {
        if (limits is null) return null;
        return own.Queue + moreQueueBytes > limits.QueueBytes ? ToException("queue_bytes", own.Queue, limits.QueueBytes)
            : own.Blobs + moreBlobBytes > limits.BlobBytes ? ToException("blob_bytes", own.Blobs, limits.BlobBytes)
            : all.Queue + moreQueueBytes > limits.AllQueueBytes ? ToException("all_queue_bytes", all.Queue, limits.AllQueueBytes)
            : all.Blobs + moreBlobBytes > limits.AllBlobBytes ? ToException("all_blob_bytes", all.Blobs, limits.AllBlobBytes)
            : null;
    }

    /// <summary>Creates the error from the reply of a script, or returns null for the name of another limit.</summary>
    public static NdifException? ToException(string limitName, long used, long limit) => limitName switch
    {
        "queue_bytes" => QueueErrors.TooManyQueueBytes(used, limit),
        "blob_bytes" => QueueErrors.TooManyBlobBytes(used, limit),
        "all_queue_bytes" or "all_blob_bytes" => QueueErrors.StorageFull(limitName == "all_queue_bytes", limit),
        _ => null,
    };
}
