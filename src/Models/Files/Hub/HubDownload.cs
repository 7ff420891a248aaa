using System.Net;

namespace Ndif.Models.Files.Hub;

/// <summary>A download of a model into the Hugging Face cache, in the layout of huggingface_hub, which can read it.</summary>
/// <remarks>
/// <code>
/// models--org--name/blobs/{etag}                    content; "{etag}.incomplete" during the transfer
/// models--org--name/snapshots/{commit}/{file}       -> ../../blobs/{etag}
/// models--org--name/refs/{revision}                 commit
/// .locks/models--org--name/{etag}.lock              locked during the transfer of a blob
/// </code>
/// 1. Request the commit of the revision and its files; select the files that are needed (<see cref="HubFiles"/>).
/// 2. Request the ETag and size of each file, and check that the disk has room.
/// 3. Transfer the missing files, several in parallel, each under its lock, from the byte where an earlier attempt ended.
/// 4. Check each file against its ETag, move it to its final name, and link it into the snapshot.
/// 5. For a model in shards, repeat steps 2 to 4 for the shards in the index. The index is linked last, so a snapshot that has an
///    index is complete.
/// </remarks>
internal sealed class HubDownload : IDisposable
{
    private readonly HubOptions _options;
    private readonly HubClient _client;
    private readonly string _id, _modelFolder;
    private readonly IProgress<(string What, long Done, long Total)>? _progress;
    private readonly Lock _progressLock = new();
    private long _done, _total;

    private HubDownload(string id, HubOptions options, IProgress<(string What, long Done, long Total)>? progress)
    {
        (_id, _options, _client, _progress) = (id, options, new HubClient(options), progress);
        _modelFolder = HubCache.FolderOf(options.Cache, id);
    }

    /// <summary>Downloads the files of a model that are missing.</summary>
    /// <param name="revision">A branch, tag or commit.</param>
    /// <param name="progress">Reports the bytes that have been received.</param>
    /// <returns>The snapshot folder.</returns>
    /// <exception cref="NdifException">
    /// UNKNOWN_MODEL: the hub has no such model or cannot be reached. PERMISSION_DENIED: the model is gated. BAD_CHECKPOINT: it has no
    /// safetensors weights. DOWNLOAD_FAILED: the network, the disk or the content failed; received bytes are kept.
    /// </exception>
    public static async Task<ModelFolder> RunAsync(string id, string revision, ModelParts parts, HubOptions options,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        using HubDownload download = new(id, options, progress);
        try
        {
            return await download.FetchAsync(revision, parts, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is HubStatusException or HttpRequestException or TimeoutException or IOException
            or UnauthorizedAccessException)
        {
            throw HubErrors.Translate(e, id, revision, options, download._client.HasResponded || e is UnauthorizedAccessException);
        }
    }

    public void Dispose() => _client.Dispose();

    private async Task<ModelFolder> FetchAsync(string revision, ModelParts parts, CancellationToken cancellationToken)
    {
        HubRevision hubRevision = await _client.RevisionAsync(_id, revision, cancellationToken).ConfigureAwait(false);         // 1
        List<string> wanted = HubFiles.Select(_id, hubRevision.Files, parts);
        string snapshot = Path.Combine(_modelFolder, "snapshots", hubRevision.Commit);
        Directory.CreateDirectory(snapshot);
        Directory.CreateDirectory(Path.Combine(_modelFolder, "blobs"));

        List<HubFile> files = await ReadMetadataAsync(hubRevision, wanted, cancellationToken).ConfigureAwait(false);                  // 2
        await FetchAllAsync(files, cancellationToken).ConfigureAwait(false);                                             // 3
        if (files.Find(f => Checkpoint.IsIndex(f.Name)) is { } index)                                                    // 5
        {
            IEnumerable<string> shards = Checkpoint.ShardsOf(BlobPath(index), $"{_id}/{index.Name}");
            List<HubFile> shardFiles = await ReadMetadataAsync(hubRevision, shards, cancellationToken).ConfigureAwait(false);
            await FetchAllAsync(shardFiles, cancellationToken).ConfigureAwait(false);
            foreach (HubFile shard in shardFiles) LinkIntoSnapshot(snapshot, shard);
        }
        foreach (HubFile file in files) LinkIntoSnapshot(snapshot, file);                                                            // 4
        if (revision != hubRevision.Commit) WriteReference(revision, hubRevision.Commit);
        return new ModelFolder(_id, hubRevision.Commit, snapshot);
    }

    private async Task<List<HubFile>> ReadMetadataAsync(HubRevision hubRevision, IEnumerable<string> names,
        CancellationToken cancellationToken)
    {
        HubFile[] files = [.. names.Select(name => new HubFile(name, _options.Endpoint, "", null))];
        await Parallel.ForEachAsync(Enumerable.Range(0, files.Length), ParallelOptionsFor(cancellationToken), async (i, cancel) =>
            files[i] = await _client.FileAsync(_id, hubRevision.Commit, files[i].Name, cancel).ConfigureAwait(false)).ConfigureAwait(false);
        return [.. files];
    }

    private async Task FetchAllAsync(List<HubFile> files, CancellationToken cancellationToken)
    {
        HubFile[] missing = [.. files.Where(f => !File.Exists(BlobPath(f))).DistinctBy(f => f.ETag)];
        CheckDiskSpace(missing);
        ReportProgress(0, missing.Sum(f => f.Size ?? 0));
        await Parallel.ForEachAsync(missing, ParallelOptionsFor(cancellationToken),
            async (file, cancel) => await FetchAsync(file, cancel).ConfigureAwait(false)).ConfigureAwait(false);
    }

    private async Task FetchAsync(HubFile file, CancellationToken cancellationToken)
    {
        string blob = BlobPath(file);
        using HubLock held =
            await HubLock.AcquireAsync(Path.Combine(_options.Cache, ".locks", Path.GetFileName(_modelFolder), file.ETag + ".lock"),
                cancellationToken).ConfigureAwait(false);
        if (File.Exists(blob)) // another process has completed it
        {
            ReportProgress(file.Size ?? 0);
            return;
        }
        using PartialBlob partial = await PartialBlob.OpenAsync(file, blob, cancellationToken).ConfigureAwait(false);
        bool resumed = partial.Length > 0;
        ReportProgress(partial.Length);
        await CompleteAsync(partial, file, cancellationToken).ConfigureAwait(false);
        if (!partial.IsValid() && resumed) // the bytes of an earlier attempt may be wrong
        {
            ReportProgress(-partial.Length);
            partial.Restart();
            await CompleteAsync(partial, file, cancellationToken).ConfigureAwait(false);
        }
        if (!partial.IsValid())
        {
            partial.Discard();
            throw HubErrors.Failed(_id, _options,
                $"`{file.Name}` arrived with another checksum than the hub announced ({file.ETag}); it was discarded.",
                "A proxy or mirror between may change files; check HF_ENDPOINT and try again.");
        }
        await partial.FinishAsync(blob, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Receives until the file is complete. Progress resets the count of failures.</summary>
    private async Task CompleteAsync(PartialBlob partial, HubFile file, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[1 << 16];
        for (int failures = 0; !partial.IsComplete;)
        {
            long before = partial.Length;
            try
            {
                await ReceiveAsync(partial, file, buffer, cancellationToken).ConfigureAwait(false);
                if (file.Size is null) return;
                if (partial.IsComplete) continue;
                throw new IOException($"the connection ended after {partial.Length} of the {file.Size} bytes of `{file.Name}`");
            }
            catch (Exception e) when (_client.IsTransient(e) && (failures = partial.Length > before ? 1 : failures + 1) < _options.Attempts)
            {
                await _client.DelayBeforeRetryAsync(failures, e, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private async Task ReceiveAsync(PartialBlob partial, HubFile file, byte[] buffer, CancellationToken cancellationToken)
    {
        using HttpResponseMessage response = await _client.GetAsync(file.Address, partial.Length, cancellationToken).ConfigureAwait(false);
        bool isContinued = response.StatusCode == HttpStatusCode.PartialContent
            && response.Content.Headers.ContentRange?.From == partial.Length;
        if (!isContinued && partial.Length > 0) // the server ignores the offset, or cannot continue from it
        {
            ReportProgress(-partial.Length);
            partial.Restart();
        }
        if (!response.IsSuccessStatusCode || (!isContinued && response.StatusCode == HttpStatusCode.PartialContent))
            throw new IOException($"the server cannot send `{file.Name}` from where it was asked to");
        using Stream body = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
        while (true)
        {
            int read = await _client.WithTimeoutAsync(t => body.ReadAsync(buffer, t).AsTask(), cancellationToken).ConfigureAwait(false);
            if (read == 0) return;
            await partial.WriteAsync(buffer.AsMemory(0, read), cancellationToken).ConfigureAwait(false);
            ReportProgress(read);
        }
    }

    /// <summary>Fails before the transfer if the disk does not have room.</summary>
    private void CheckDiskSpace(IEnumerable<HubFile> missing)
    {
        long needed =
            missing.Sum(f =>
                Math.Max(0,
                    (f.Size ?? 0) - (new FileInfo(PartialBlob.PathOf(BlobPath(f))) is { Exists: true } partial ? partial.Length : 0)));
        long free = needed == 0 ? 0 : _options.FreeBytes(_modelFolder);
        if (needed > free)
            throw HubErrors.Failed(_id, _options,
                $"it needs {Megabytes(needed)} more in {_options.Cache}, and the disk has {Megabytes(free)} free.",
                "Make room, or put the cache on another disk with HF_HOME.");

        static string Megabytes(long bytes) => $"{bytes / 1e6:0.#} MB";
    }

    /// <summary>Creates a relative link, as huggingface_hub does, or a copy where the system does not permit links.</summary>
    private void LinkIntoSnapshot(string snapshot, HubFile file)
    {
        string link = Path.Combine(snapshot, file.Name);
        Directory.CreateDirectory(Path.GetDirectoryName(link)!); // additional_chat_templates is a folder
        if (File.Exists(link)) return;
        try
        {
            if (new FileInfo(link).LinkTarget is not null) File.Delete(link); // a dangling link
            File.CreateSymbolicLink(link, Path.GetRelativePath(Path.GetDirectoryName(link)!, BlobPath(file)));
        }
        catch (IOException) when (File.Exists(link)) { } // another process has created it
        catch (Exception e) when (OperatingSystem.IsWindows() && e is IOException
            or UnauthorizedAccessException) { File.Copy(BlobPath(file), link); }
    }

    private void WriteReference(string revision, string commit)
    {
        string path = Path.Combine(_modelFolder, "refs", revision),
            temporary = $"{path}.{Environment.ProcessId}.{Environment.CurrentManagedThreadId}.tmp";
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(temporary, commit);
        File.Move(temporary, path, overwrite: true);
    }

    private string BlobPath(HubFile file) => Path.Combine(_modelFolder, "blobs", file.ETag);

    private ParallelOptions ParallelOptionsFor(CancellationToken cancellationToken) =>
        new() { MaxDegreeOfParallelism = Math.Max(1, _options.Parallel), CancellationToken = cancellationToken };

    private void ReportProgress(long bytes, long expected = 0)
    {
        lock (_progressLock)
        {
            _done += bytes;
            _total += expected;
            _progress?.Report(($"files of {_id}", _done, Math.Max(_total, _done)));
        }
    }
}
