using System.Net;
using System.Runtime.CompilerServices;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Protocol;

namespace Ndif.Queue.Blobs;

/// <summary>
/// Stores blobs in a bucket of Amazon S3 or an S3-compatible store:
/// <code>
/// prefix/blobs/ID             the bytes
/// prefix/seen/ID              an empty object; its last-modified time is the time of the last use of the blob
/// prefix/readers/ID/SHA[.SHA] one empty object per grant (<see cref="BlobNames.GetGrantName"/>)
/// prefix/deleting/ID/GUID     an empty object while a process that took back the last grant of a blob deletes it
/// prefix/clock                an empty object; its last-modified time is the time of the store when it was written
/// prefix/writing/GUID         drafts: uploads of more than one part, whose id is not known yet (<see cref="S3UploadStream"/>)
/// </code>
/// Reading and writing buffer at most one part of a blob in memory. All times are those of the store.
/// </summary>
public sealed class S3BlobStore : IBlobStore, IDisposable
{
    /// <summary>
    /// The last use of a blob is recorded at most this often per time to live, and expired blobs are deleted at most this often.
    /// </summary>
    private const int RefreshesPerLifetime = 24;

    private readonly IAmazonS3 _s3;
    private readonly S3Location _location;
    private readonly TimeSpan _timeToLive;
    private static readonly TimeSpan _clockInterval = TimeSpan.FromMinutes(10), _deletionTimeout = TimeSpan.FromSeconds(5);

    private readonly TimeProvider? _time; // null for the clock of the store
    private readonly ILogger _logger;
    private readonly int _partBytes;
    private long _lastDeletionTicks = long.MinValue;
    private ClockReading? _clock;

    internal S3BlobStore(
        IAmazonS3 s3, S3Location location, BlobOptions options, TimeProvider? time = null, ILogger<S3BlobStore>? logger = null)
    {
        (_s3, _location, _timeToLive, _partBytes) = (s3, location, options.TimeToLive, options.PartBytes);
        _time = time;
        _logger = logger ?? NullLogger<S3BlobStore>.Instance;
    }

    /// <inheritdoc/>
    public long GetUploadMemory(long length) => length == 0 ? 0 : S3UploadStream.GetBufferBytes(Math.Min(length, _partBytes));

    /// <inheritdoc/>
    public Task<BlobRef> PutAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default) =>
        PutAsync(write, upload => new HashingStream(upload), isNew: false, null, cancellationToken);

    /// <inheritdoc/>
    public Task<BlobRef> PutGrantedAsync(
        Func<Stream, CancellationToken, Task> write, Func<BlobRef, string> getOwner, CancellationToken cancellationToken = default) =>
        PutAsync(write, upload => new HashingStream(upload), isNew: false, getOwner, cancellationToken);

    /// <inheritdoc/>
    public Task<BlobRef> PutNewAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default) =>
        PutAsync(write, upload => new ChecksumStream(upload), isNew: true, null, cancellationToken);

    /// <param name="isNew">The id is random, so no existing blob needs to be looked up.</param>
    private Task<BlobRef> PutAsync(
        Func<Stream, CancellationToken, Task> write, Func<Stream, CountingStream> createStream, bool isNew,
        Func<BlobRef, string>? getOwner, CancellationToken cancellationToken) => TranslateErrorsAsync("put", async () =>
    {
        string draftKey = $"{_location.Prefix}writing/{Guid.NewGuid():n}";
        await using var upload = new S3UploadStream(_s3, _location.Bucket, draftKey, _partBytes, cancellationToken);
        await using CountingStream stream = createStream(upload);
        await write(stream, cancellationToken);
        BlobRef blob = stream.ToBlobRef();
        if (getOwner?.Invoke(blob) is { } owner)
        {
            // The grant is first: a deletion that begins later sees it. One that has begun is waited for.
            await PutEmptyAsync(GetGrantPrefix(blob.Id) + BlobNames.GetGrantName(owner), cancellationToken);
            await WaitForDeletionsAsync(blob.Id, cancellationToken);
        }
        if (isNew || !await ExistsAsync(blob.Id, cancellationToken))
        {
            await upload.CompleteAsync(GetBlobKey(blob.Id), cancellationToken);
            await PutEmptyAsync(GetLastUseKey(blob.Id), CancellationToken.None); // the caller must learn the id of what is stored
        }
        return blob;
    });

    /// <inheritdoc/>
    public Task<Stream?> OpenAsync(string id, CancellationToken cancellationToken = default) =>
        TranslateErrorsAsync<Stream?>("open", async () => await GetLengthAsync(id, touch: true, cancellationToken) is { } length
            ? new S3ReadStream(_s3, _location.Bucket, GetBlobKey(id), id, length)
            : null);

    /// <inheritdoc/>
    public Task<bool> ExistsAsync(string id, CancellationToken cancellationToken = default) =>
        TranslateErrorsAsync("look for", async () => await GetLengthAsync(id, touch: true, cancellationToken) is not null);

    /// <inheritdoc/>
    public Task GrantAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default) =>
        TranslateErrorsAsync("grant", async () =>
        {
            if (await GetLengthAsync(id, touch: true, cancellationToken) is null) throw QueueErrors.UnknownBlob(id);
            await PutEmptyAsync(GetGrantPrefix(id) + BlobNames.GetGrantName(owner, reason), cancellationToken);
            await WaitForDeletionsAsync(id, cancellationToken); // its last grant may have been revoked concurrently
            if (await GetLengthAsync(id, touch: false, cancellationToken) is null) throw QueueErrors.UnknownBlob(id);
            return true;
        });

    /// <inheritdoc/>
    public Task<bool> CanReadAsync(string id, string owner, CancellationToken cancellationToken = default) =>
        TranslateErrorsAsync("look up", async () =>
            BlobNames.IsId(id)
            && await AnyAsync(GetGrantPrefix(id) + BlobNames.GetGrantName(owner), cancellationToken)
            && await GetLengthAsync(id, touch: false, cancellationToken) is not null);

    /// <inheritdoc/>
    public Task<bool> RevokeAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default) =>
        TranslateErrorsAsync("release", async () =>
        {
            if (!BlobNames.IsId(id)) return false;
            string grant = GetGrantPrefix(id) + BlobNames.GetGrantName(owner, reason);
            if (await HeadAsync(grant, cancellationToken) is null) return false;
            await DeleteAsync(grant, cancellationToken);
            if (await AnyAsync(GetGrantPrefix(id) + BlobNames.GetGrantName(owner), cancellationToken)) return false;
            if (!await AnyAsync(GetGrantPrefix(id), cancellationToken)) await DeleteUngrantedAsync(id, cancellationToken);
            return true;
        });

    /// <inheritdoc/>
    /// <remarks>This lists the whole bucket. A call that follows the previous one too soon does nothing.</remarks>
    public Task<int> DeleteExpiredAsync(CancellationToken cancellationToken = default) => TranslateErrorsAsync("sweep", async () =>
    {
        DateTime now = await GetNowAsync(cancellationToken);
        long last = Interlocked.Read(ref _lastDeletionTicks);
        if (last != long.MinValue && now - new DateTime(last, DateTimeKind.Utc) < _timeToLive / RefreshesPerLifetime) return 0;
        Interlocked.Exchange(ref _lastDeletionTicks, now.Ticks);

        // merges two listings that are both sorted by id: the blobs and their last uses
        int count = 0;
        await using IAsyncEnumerator<S3Object> seen =
            ListAsync(_location.Prefix + "seen/", cancellationToken).GetAsyncEnumerator(cancellationToken);
        bool more = await seen.MoveNextAsync();
        await foreach (S3Object blob in ListAsync(_location.Prefix + "blobs/", cancellationToken))
        {
            string id = blob.Key[(_location.Prefix.Length + "blobs/".Length)..];
            while (more && string.CompareOrdinal(seen.Current.Key, GetLastUseKey(id)) < 0) more = await seen.MoveNextAsync();
            if (IsUnexpired(blob.LastModified, now)) continue;
            if (more && seen.Current.Key == GetLastUseKey(id) && IsUnexpired(seen.Current.LastModified, now)) continue;
            if (await GetLengthAsync(id, touch: false, cancellationToken) is not null) continue; // used since it was listed
            await DeleteBlobAsync(id, cancellationToken);
            count++;
        }
        await foreach (S3Object draft in ListAsync(_location.Prefix + "writing/", cancellationToken))
            if (!IsUnexpired(draft.LastModified, now)) await DeleteAsync(draft.Key, cancellationToken);
        await AbortExpiredUploadsAsync(now, cancellationToken);
        if (count > 0) Log.BlobsSwept(_logger, count);
        return count;
    });

    public void Dispose() => _s3.Dispose();

    private string GetBlobKey(string id) => $"{_location.Prefix}blobs/{id}";

    private string GetLastUseKey(string id) => $"{_location.Prefix}seen/{id}";

    private string GetDeletionPrefix(string id) => $"{_location.Prefix}deleting/{id}/";

    private string GetGrantPrefix(string id) => $"{_location.Prefix}readers/{id}/";

    private bool IsUnexpired(DateTime? lastUse, DateTime now) => lastUse is { } time && time.ToUniversalTime() + _timeToLive > now;

    /// <summary>
    /// Returns the time of the store, which writes the times of the objects: it is read every few minutes and continued with the monotonic
    /// clock, so that the clock of this machine does not matter.
    /// </summary>
    private async Task<DateTime> GetNowAsync(CancellationToken cancellationToken)
    {
        if (_time is not null) return _time.GetUtcNow().UtcDateTime;
        ClockReading? last = Volatile.Read(ref _clock);
        if (last is null || TimeProvider.System.GetElapsedTime(last.Timestamp) >= _clockInterval)
        {
            long asked = TimeProvider.System.GetTimestamp();
            await PutEmptyAsync(_location.Prefix + "clock", cancellationToken);
            if ((await HeadAsync(_location.Prefix + "clock", cancellationToken))?.LastModified is { } written)
                Volatile.Write(ref _clock, last = new ClockReading(written.ToUniversalTime(), asked));
        }
        return last is null ? DateTime.MinValue.AddYears(1) // nothing expires while the time is not known
            : last.Time + TimeProvider.System.GetElapsedTime(last.Timestamp);
    }

    /// <summary>
    /// Deletes a blob whose last grant was revoked. A store has no locks: the deletion is announced first, and then the grants are looked
    /// up again. Whoever grants the blob writes the grant first, and then looks for announced deletions. So one of them sees the other.
    /// </summary>
    private async Task DeleteUngrantedAsync(string id, CancellationToken cancellationToken)
    {
        string announcement = $"{GetDeletionPrefix(id)}{Guid.NewGuid():n}";
        await PutEmptyAsync(announcement, cancellationToken);
        try
        {
            if (!await AnyAsync(GetGrantPrefix(id), cancellationToken))
            {
                await DeleteAsync(GetBlobKey(id), cancellationToken);
                await DeleteAsync(GetLastUseKey(id), cancellationToken);
            }
        }
        finally
        {
            await DeleteAsync(announcement, CancellationToken.None);
        }
    }

    /// <summary>Waits until no process deletes a blob, or for so long that the process must have died.</summary>
    private async Task WaitForDeletionsAsync(string id, CancellationToken cancellationToken)
    {
        long started = TimeProvider.System.GetTimestamp();
        while (await AnyAsync(GetDeletionPrefix(id), cancellationToken))
        {
            if (TimeProvider.System.GetElapsedTime(started) >= _deletionTimeout)
            {
                await foreach (S3Object left in ListAsync(GetDeletionPrefix(id), cancellationToken))
                    await DeleteAsync(left.Key, cancellationToken);
                return;
            }
            await Task.Delay(TimeSpan.FromMilliseconds(20), cancellationToken);
        }
    }

    /// <summary>Returns the length of a blob, or null if there is no such blob or it has expired.</summary>
    private async Task<long?> GetLengthAsync(string id, bool touch, CancellationToken cancellationToken)
    {
        if (!BlobNames.IsId(id) || await HeadAsync(GetBlobKey(id), cancellationToken) is not { } blob) return null;
        DateTime? seen = (await HeadAsync(GetLastUseKey(id), cancellationToken))?.LastModified;
        DateTime now = await GetNowAsync(cancellationToken);
        if (!IsUnexpired(blob.LastModified, now) && !IsUnexpired(seen, now)) return null;
        bool isRefreshDue = seen is not { } lastUse
            || lastUse.ToUniversalTime() + _timeToLive / RefreshesPerLifetime < now;
        if (touch && isRefreshDue) await PutEmptyAsync(GetLastUseKey(id), cancellationToken);
        return blob.ContentLength;
    }

    private async Task<GetObjectMetadataResponse?> HeadAsync(string key, CancellationToken cancellationToken)
    {
        try
        {
            return await _s3.GetObjectMetadataAsync(_location.Bucket, key, cancellationToken);
        }
        catch (AmazonS3Exception missing) when (missing.StatusCode == HttpStatusCode.NotFound)
        {
            return null;
        }
    }

    private async Task PutEmptyAsync(string key, CancellationToken cancellationToken) => await _s3.PutObjectAsync(
        new PutObjectRequest { BucketName = _location.Bucket, Key = key, InputStream = Stream.Null, UseChunkEncoding = false },
        cancellationToken);

    private async Task DeleteAsync(string key, CancellationToken cancellationToken) =>
        await _s3.DeleteObjectAsync(_location.Bucket, key, cancellationToken);

    /// <summary>Deletes a blob, its bytes first: without them the blob does not exist for any caller.</summary>
    private async Task DeleteBlobAsync(string id, CancellationToken cancellationToken)
    {
        await DeleteAsync(GetBlobKey(id), cancellationToken);
        await foreach (S3Object grant in ListAsync(GetGrantPrefix(id), cancellationToken)) await DeleteAsync(grant.Key, cancellationToken);
        await DeleteAsync(GetLastUseKey(id), cancellationToken);
    }

    private async Task<bool> AnyAsync(string prefix, CancellationToken cancellationToken)
    {
        var request = new ListObjectsV2Request { BucketName = _location.Bucket, Prefix = prefix, MaxKeys = 1 };
        return (await _s3.ListObjectsV2Async(request, cancellationToken)).S3Objects is { Count: > 0 };
    }

    private async IAsyncEnumerable<S3Object> ListAsync(string prefix, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var request = new ListObjectsV2Request { BucketName = _location.Bucket, Prefix = prefix };
        while (true)
        {
            ListObjectsV2Response page = await _s3.ListObjectsV2Async(request, cancellationToken);
            foreach (S3Object item in page.S3Objects ?? []) yield return item;
            if (page.IsTruncated != true) yield break;
            request.ContinuationToken = page.NextContinuationToken;
        }
    }

    /// <summary>Aborts multipart uploads whose process died; the store keeps (and bills) their parts until then.</summary>
    private async Task AbortExpiredUploadsAsync(DateTime now, CancellationToken cancellationToken)
    {
        ListMultipartUploadsResponse open = await _s3.ListMultipartUploadsAsync(
            new ListMultipartUploadsRequest { BucketName = _location.Bucket, Prefix = _location.Prefix + "writing/" }, cancellationToken);
        foreach (MultipartUpload upload in open.MultipartUploads ?? [])
        {
            if (IsUnexpired(upload.Initiated, now)) continue;
            await _s3.AbortMultipartUploadAsync(
                new AbortMultipartUploadRequest { BucketName = _location.Bucket, Key = upload.Key, UploadId = upload.UploadId },
                cancellationToken);
        }
    }

    /// <summary>Turns failures that remain after the retries of the SDK into UNAVAILABLE, which is retryable.</summary>
    private static async Task<T> TranslateErrorsAsync<T>(string operation, Func<Task<T>> call)
    {
        try
        {
            return await call();
        }
        catch (Exception failure) when (failure is AmazonServiceException or AmazonClientException or HttpRequestException or WebException)
        {
            throw QueueErrors.StoreUnavailable(operation, failure);
        }
    }

    private sealed record ClockReading(DateTime Time, long Timestamp);
}
