using System.Net;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Protocol;

namespace Ndif.Queue.Blobs;

/// <summary>
/// Blobs in a bucket of Amazon's S3, or of another store that speaks it:
/// <code>
/// prefix/blobs/ID             the bytes
/// prefix/seen/ID              empty; written when somebody asked for the blob, so that its time is when that was
/// prefix/readers/ID/SHA[.SHA] empty, one per grant (<see cref="BlobNames.GetGrantName"/>)
/// prefix/writing/GUID         what is too large to be kept until its name is known (<see cref="S3UploadStream"/>)
/// </code>
/// Reading and writing keep a part of a blob in memory, whatever its size. Times are the store's own.
/// </summary>
public sealed class S3BlobStore : IBlobStore, IDisposable
{
    /// <summary>A blob that is asked for is written down as seen at most so often in its life, and sweeping is done as rarely.</summary>
    private const int RefreshesPerLifetime = 24;

    private readonly IAmazonS3 _s3;
    private readonly S3Location _location;
    private readonly TimeSpan _timeToLive;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly int _partBytes;
    private long _lastDeletionTicks = long.MinValue;

    internal S3BlobStore(IAmazonS3 s3, S3Location location, BlobOptions options, TimeProvider? time = null, ILogger<S3BlobStore>? logger = null)
    {
        (this._s3, this._location, _timeToLive, _partBytes) = (s3, location, options.TimeToLive, options.PartBytes);
        this._time = time ?? TimeProvider.System;
        this._logger = logger ?? NullLogger<S3BlobStore>.Instance;
    }

    /// <inheritdoc/>
    public Task<BlobRef> PutAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default) =>
        PutAsync(write, upload => new HashingStream(upload), isNew: false, cancellationToken);

    /// <inheritdoc/>
    public Task<BlobRef> PutNewAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancellationToken = default) =>
        PutAsync(write, upload => new ChecksumStream(upload), isNew: true, cancellationToken);

    /// <param name="isNew">Nobody can have a blob of this name: it need not be looked for.</param>
    private Task<BlobRef> PutAsync(Func<Stream, CancellationToken, Task> write, Func<Stream, CountingStream> createStream, bool isNew, CancellationToken cancellationToken) => TranslateErrorsAsync("put", async () =>
    {
        await using var upload = new S3UploadStream(_s3, _location.Bucket, $"{_location.Prefix}writing/{Guid.NewGuid():n}", _partBytes, cancellationToken);
        await using CountingStream stream = createStream(upload);
        await write(stream, cancellationToken);
        BlobRef blob = stream.ToBlobRef();
        if (isNew || !await ExistsAsync(blob.Id, cancellationToken))
        {
            await upload.CompleteAsync(GetBlobKey(blob.Id), cancellationToken);
            await PutEmptyAsync(GetLastUseKey(blob.Id), cancellationToken);
        }
        return blob;
    });

    /// <inheritdoc/>
    public Task<Stream?> OpenAsync(string id, CancellationToken cancellationToken = default) => TranslateErrorsAsync<Stream?>("open", async () =>
        await GetLengthAsync(id, touch: true, cancellationToken) is { } length ? new S3ReadStream(_s3, _location.Bucket, GetBlobKey(id), id, length) : null);

    /// <inheritdoc/>
    public Task<bool> ExistsAsync(string id, CancellationToken cancellationToken = default) => TranslateErrorsAsync("look for", async () =>
        await GetLengthAsync(id, touch: true, cancellationToken) is not null);

    /// <inheritdoc/>
    public Task GrantAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default) => TranslateErrorsAsync("grant", async () =>
    {
        if (await GetLengthAsync(id, touch: true, cancellationToken) is null) throw QueueErrors.UnknownBlob(id);
        await PutEmptyAsync(GetGrantPrefix(id) + BlobNames.GetGrantName(owner, reason), cancellationToken);
        if (await GetLengthAsync(id, touch: false, cancellationToken) is null) throw QueueErrors.UnknownBlob(id); // released by its last owner at this moment
        return true;
    });

    /// <inheritdoc/>
    public Task<bool> CanReadAsync(string id, string owner, CancellationToken cancellationToken = default) => TranslateErrorsAsync("look up", async () =>
        BlobNames.IsId(id) && await AnyAsync(GetGrantPrefix(id) + BlobNames.GetGrantName(owner), cancellationToken) && await GetLengthAsync(id, touch: false, cancellationToken) is not null);

    /// <inheritdoc/>
    public Task<bool> RevokeAsync(string id, string owner, string reason = "", CancellationToken cancellationToken = default) => TranslateErrorsAsync("release", async () =>
    {
        if (!BlobNames.IsId(id)) return false;
        string grant = GetGrantPrefix(id) + BlobNames.GetGrantName(owner, reason);
        if (await HeadAsync(grant, cancellationToken) is null) return false;
        await DeleteAsync(grant, cancellationToken);
        if (await AnyAsync(GetGrantPrefix(id) + BlobNames.GetGrantName(owner), cancellationToken)) return false;
        if (!await AnyAsync(GetGrantPrefix(id), cancellationToken)) await DeleteBlobAsync(id, cancellationToken);
        return true;
    });

    /// <inheritdoc/>
    /// <remarks>A sweep lists the whole bucket; one that comes too soon after the last does nothing.</remarks>
    public Task<int> DeleteExpiredAsync(CancellationToken cancellationToken = default) => TranslateErrorsAsync("sweep", async () =>
    {
        DateTime now = _time.GetUtcNow().UtcDateTime;
        long last = Interlocked.Read(ref _lastDeletionTicks);
        if (last != long.MinValue && now - new DateTime(last, DateTimeKind.Utc) < _timeToLive / RefreshesPerLifetime) return 0;
        Interlocked.Exchange(ref _lastDeletionTicks, now.Ticks);

        // two lists in the order of names, side by side: what was stored, and when it was last asked for
        int count = 0;
        await using IAsyncEnumerator<S3Object> seen = ListAsync(_location.Prefix + "seen/", cancellationToken).GetAsyncEnumerator(cancellationToken);
        bool more = await seen.MoveNextAsync();
        await foreach (S3Object blob in ListAsync(_location.Prefix + "blobs/", cancellationToken))
        {
            string id = blob.Key[(_location.Prefix.Length + "blobs/".Length)..];
            while (more && string.CompareOrdinal(seen.Current.Key, GetLastUseKey(id)) < 0) more = await seen.MoveNextAsync();
            if (IsUnexpired(blob.LastModified) || (more && seen.Current.Key == GetLastUseKey(id) && IsUnexpired(seen.Current.LastModified))) continue;
            if (await GetLengthAsync(id, touch: false, cancellationToken) is not null) continue; // asked for since it was listed
            await DeleteBlobAsync(id, cancellationToken);
            count++;
        }
        await foreach (S3Object draft in ListAsync(_location.Prefix + "writing/", cancellationToken))
            if (!IsUnexpired(draft.LastModified)) await DeleteAsync(draft.Key, cancellationToken);
        await AbortExpiredUploadsAsync(cancellationToken);
        if (count > 0) Log.BlobsSwept(_logger, count);
        return count;
    });

    public void Dispose() => _s3.Dispose();

    private string GetBlobKey(string id) => $"{_location.Prefix}blobs/{id}";

    private string GetLastUseKey(string id) => $"{_location.Prefix}seen/{id}";

    private string GetGrantPrefix(string id) => $"{_location.Prefix}readers/{id}/";

    private bool IsUnexpired(DateTime? at) => at is { } then && then.ToUniversalTime() + _timeToLive > _time.GetUtcNow().UtcDateTime;

    /// <summary>The length of a blob that is there and has not outlived its time; null if there is none.</summary>
    private async Task<long?> GetLengthAsync(string id, bool touch, CancellationToken cancellationToken)
    {
        if (!BlobNames.IsId(id) || await HeadAsync(GetBlobKey(id), cancellationToken) is not { } blob) return null;
        DateTime? seen = (await HeadAsync(GetLastUseKey(id), cancellationToken))?.LastModified;
        if (!IsUnexpired(blob.LastModified) && !IsUnexpired(seen)) return null;
        if (touch && (seen is not { } at || at.ToUniversalTime() + _timeToLive / RefreshesPerLifetime < _time.GetUtcNow().UtcDateTime)) await PutEmptyAsync(GetLastUseKey(id), cancellationToken);
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
        new PutObjectRequest { BucketName = _location.Bucket, Key = key, InputStream = Stream.Null, UseChunkEncoding = false }, cancellationToken);

    private async Task DeleteAsync(string key, CancellationToken cancellationToken) => await _s3.DeleteObjectAsync(_location.Bucket, key, cancellationToken);

    /// <summary>The bytes first: without them nobody is told that it is there.</summary>
    private async Task DeleteBlobAsync(string id, CancellationToken cancellationToken)
    {
        await DeleteAsync(GetBlobKey(id), cancellationToken);
        await foreach (S3Object grant in ListAsync(GetGrantPrefix(id), cancellationToken)) await DeleteAsync(grant.Key, cancellationToken);
        await DeleteAsync(GetLastUseKey(id), cancellationToken);
    }

    private async Task<bool> AnyAsync(string prefix, CancellationToken cancellationToken) =>
        (await _s3.ListObjectsV2Async(new ListObjectsV2Request { BucketName = _location.Bucket, Prefix = prefix, MaxKeys = 1 }, cancellationToken)).S3Objects is { Count: > 0 };

    private async IAsyncEnumerable<S3Object> ListAsync(string prefix, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var request = new ListObjectsV2Request { BucketName = _location.Bucket, Prefix = prefix };
        while (true)
        {
            ListObjectsV2Response page = await _s3.ListObjectsV2Async(request, cancellationToken);
            foreach (S3Object one in page.S3Objects ?? []) yield return one;
            if (page.IsTruncated != true) yield break;
            request.ContinuationToken = page.NextContinuationToken;
        }
    }

    /// <summary>Parts of uploads whose process died are paid for until somebody ends them.</summary>
    private async Task AbortExpiredUploadsAsync(CancellationToken cancellationToken)
    {
        ListMultipartUploadsResponse open = await _s3.ListMultipartUploadsAsync(
            new ListMultipartUploadsRequest { BucketName = _location.Bucket, Prefix = _location.Prefix + "writing/" }, cancellationToken);
        foreach (MultipartUpload upload in open.MultipartUploads ?? [])
            if (!IsUnexpired(upload.Initiated))
                await _s3.AbortMultipartUploadAsync(new AbortMultipartUploadRequest { BucketName = _location.Bucket, Key = upload.Key, UploadId = upload.UploadId }, cancellationToken);
    }

    /// <summary>What the store does not answer after the SDK's own tries is UNAVAILABLE, and may be tried again.</summary>
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
}
