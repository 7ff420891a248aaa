using System.Text.Json;
using Ndif.Protocol;

namespace Ndif.Activations;

/// <summary>
/// The folder of a collection, opened by the one process that writes it. Whenever the process is killed, the folder is a collection that
/// the next one can continue:
/// <code>
/// 1. the shard is written to a .tmp file, which reaches the disk
/// 2. the file gets its name
/// 3. a line in the index says that it is complete, and where the next shard begins: the commit
/// </code>
/// What was not committed is deleted when the folder is opened.
/// </summary>
internal sealed class CollectionFolder : IDisposable
{
    private const int NoSpace = 28, QuotaExceeded = 122; // errno on Linux: ENOSPC, EDQUOT

    private readonly CollectionFiles _files;
    private readonly Manifest _manifest;
    private readonly FileStream _lock;
    private readonly List<Shard> _shards;

    private CollectionFolder(CollectionFiles files, Manifest manifest, FileStream lockFile)
    {
        (_files, _manifest, _lock) = (files, manifest, lockFile);
        if (CollectionFiles.Read<Manifest>(files.Manifest) is { } earlier) RequireSame(earlier);
        else WriteManifest();
        _shards = [.. files.ReadIndex(out long length)];
        Report = CollectionFiles.Read<CollectReport>(files.Report);
        if (Report is null) DeleteUncommitted(length);
    }

    public IReadOnlyList<Shard> Shards => _shards;

    /// <summary>What was collected; null if the collection is not complete.</summary>
    public CollectReport? Report { get; private set; }

    /// <summary>The place at which the next shard begins.</summary>
    public CollectCursor Next => _shards.Count == 0 ? CollectCursor.Start : _shards[^1].Next;

    /// <summary>Opens the folder to begin a collection or to continue it.</summary>
    /// <exception cref="NdifException">
    /// BAD_ARGUMENT: the folder has another collection, or other files. CORRUPT_DATA: a shard is damaged.
    /// </exception>
    /// <exception cref="IOException">The folder cannot be written, or another process writes it.</exception>
    public static CollectionFolder Open(string folder, Manifest manifest)
    {
        var files = new CollectionFiles(Path.GetFullPath(folder));
        Directory.CreateDirectory(folder);
        if (!File.Exists(files.Manifest)
            && Directory.EnumerateFileSystemEntries(folder)
                .FirstOrDefault(entry => Path.GetFileName(entry) is not ("lock" or "manifest.tmp")) is { } other)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"The folder {files.Folder} is not empty and has no collection; it has {Path.GetFileName(other)}.", "Name another folder.");
        FileStream lockFile;
        try
        {
            lockFile = new FileStream(files.Lock, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (File.Exists(files.Lock))
        {
            throw new IOException($"Another process collects into {files.Folder}.", e);
        }
        try
        {
            return new CollectionFolder(files, manifest, lockFile);
        }
        catch
        {
            lockFile.Dispose();
            throw;
        }
    }

    /// <summary>Writes a shard and commits it.</summary>
    /// <exception cref="IOException">The disk is full, or cannot be written. The shard is not a part of the collection.</exception>
    public async Task CommitAsync(ShardBuffer buffer)
    {
        bool isParquet = _manifest.Options.Format is ShardFormat.Parquet;
        string name = $"shard-{_shards.Count:00000}.{(isParquet ? "parquet" : "safetensors")}", path = Path.Combine(_files.Folder, name);
        string written = $"{path}.tmp";
        try
        {
            await using (FileStream file = Create(written)) // 1
            {
                if (isParquet) await ParquetShardWriter.WriteAsync(file, buffer);
                else SafetensorsShardWriter.Write(file, buffer);
                file.Flush(flushToDisk: true);
            }
            var shard = new Shard(name, buffer.Rows, new FileInfo(written).Length, CollectionFiles.Hash(written), buffer.Next);
            File.Move(written, path, overwrite: true); // 2
            Append(shard); // 3
            _shards.Add(shard);
        }
        catch (IOException e)
        {
            File.Delete(written);
            throw e.HResult is NoSpace or QuotaExceeded
                ? new IOException($"The disk of {_files.Folder} is full: {name} ({buffer.Bytes / 1e6:0.#} MB) could not be written. "
                    + $"The {_shards.Count} shards before it are complete; free some space and collect again to continue.", e)
                : new IOException($"{path} could not be written: {e.Message} The {_shards.Count} shards before it are complete.", e);
        }
    }

    /// <summary>Marks the collection as complete.</summary>
    public void Complete(CollectReport report)
    {
        WriteFile(_files.Report, report);
        Report = report;
    }

    public void Dispose() => _lock.Dispose();

    private void RequireSame(Manifest earlier)
    {
        IReadOnlyList<string> differences = _manifest.DescribeDifferences(earlier);
        if (differences.Count > 0)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"The folder {_files.Folder} has another collection: {string.Join("; ", differences)}.",
                "Collect into another folder, or with what the manifest.json of this one says.");
    }

    private void WriteManifest() => WriteFile(_files.Manifest, _manifest);

    /// <summary>Writes a JSON file in one step: it has the whole content or does not exist.</summary>
    private static void WriteFile<T>(string path, T content)
    {
        string written = Path.ChangeExtension(path, ".tmp");
        using (FileStream file = Create(written))
        {
            JsonSerializer.Serialize(file, content, CollectionJson.TypeOf<T>(CollectionJson.Indented));
            file.Flush(flushToDisk: true);
        }
        File.Move(written, path, overwrite: true);
    }

    /// <summary>Adds a line to the index. If that fails, the index ends as before.</summary>
    private void Append(Shard shard)
    {
        using var index = new FileStream(_files.Index, FileMode.OpenOrCreate, FileAccess.Write, FileShare.Read);
        long before = index.Seek(0, SeekOrigin.End);
        try
        {
            byte[] line = JsonSerializer.SerializeToUtf8Bytes(shard, CollectionJson.TypeOf<Shard>(CollectionJson.Compact));
            index.Write([.. line, (byte)'\n']);
            index.Flush(flushToDisk: true);
        }
        catch (IOException)
        {
            index.SetLength(before);
            throw;
        }
    }

    private void DeleteUncommitted(long indexLength)
    {
        if (File.Exists(_files.Index))
        {
            using var index = new FileStream(_files.Index, FileMode.Open, FileAccess.Write);
            index.SetLength(indexLength);
        }
        HashSet<string> committed = [.. _shards.Select(shard => shard.File)];
        foreach (string file in Directory.EnumerateFiles(_files.Folder).Where(IsUncommitted).ToArray()) File.Delete(file);

        bool IsUncommitted(string path) => Path.GetFileName(path) is var name
            && (name.EndsWith(".tmp", StringComparison.Ordinal)
                || (name.StartsWith("shard-", StringComparison.Ordinal) && !committed.Contains(name)));
    }

    private static FileStream Create(string path) => new(path, FileMode.Create, FileAccess.ReadWrite, FileShare.None, bufferSize: 1 << 16);
}
