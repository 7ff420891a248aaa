using System.Text.Json;

namespace Ndif.Server.Keys;

/// <summary>
/// Stores keys in one JSON file that only its owner can read (mode 0600). A change is written to a temporary file that replaces the old
/// one atomically. Several processes may share the file: a running gateway notices the changes of `ndif keys create` at the next call.
/// </summary>
public sealed class FileKeyStore(string path) : IKeyStore
{
    private static readonly TimeSpan _lockTimeout = TimeSpan.FromSeconds(10);

    private Snapshot _snapshot = new([], default, -1);

    private sealed record Snapshot(List<KeyRecord> Keys, DateTime LastWriteTime, long Length);

    public async Task<KeyRecord?> FindAsync(string id, CancellationToken cancellationToken = default) =>
        (await ReadAsync(cancellationToken)).Find(key => key.Id == id);

    public async Task<IReadOnlyList<KeyRecord>> ListAsync(CancellationToken cancellationToken = default) =>
        [.. await ReadAsync(cancellationToken)];

    public Task<bool> AddAsync(KeyRecord key, CancellationToken cancellationToken = default) => UpdateAsync(keys =>
    {
        if (keys.Exists(known => known.Id == key.Id)) return false;
        keys.Add(key);
        return true;
    }, cancellationToken);

    public async Task<KeyRecord?> RevokeAsync(string id, DateTimeOffset at, CancellationToken cancellationToken = default)
    {
        KeyRecord? revoked = null;
        await UpdateAsync(keys =>
        {
            int index = keys.FindIndex(key => key.Id == id);
            if (index < 0) return false;
            revoked = keys[index];
            if (revoked.Revoked is not null) return false;
            keys[index] = revoked = revoked with { Revoked = at };
            return true;
        }, cancellationToken);
        return revoked;
    }

    public Task<string> GetRevisionAsync(CancellationToken cancellationToken = default)
    {
        var file = new FileInfo(path);
        return Task.FromResult(file.Exists ? $"{file.LastWriteTimeUtc.Ticks} {file.Length}" : "");
    }

    /// <summary>Returns the current keys. Reads the file only if it has changed. The returned list is never modified.</summary>
    private async Task<List<KeyRecord>> ReadAsync(CancellationToken cancellationToken)
    {
        var file = new FileInfo(path);
        Snapshot seen = Volatile.Read(ref _snapshot);
        if (!file.Exists) return [];
        if (file.LastWriteTimeUtc == seen.LastWriteTime && file.Length == seen.Length) return seen.Keys;
        await using FileStream stream = file.OpenRead();
        List<KeyRecord> keys;
        try
        {
            keys = await JsonSerializer.DeserializeAsync(stream, KeyJson.Default.ListKeyRecord, cancellationToken) ?? [];
        }
        catch (JsonException broken)
        {
            throw ServerErrors.BrokenKeyFile(path, broken);
        }
        Volatile.Write(ref _snapshot, new Snapshot(keys, file.LastWriteTimeUtc, file.Length));
        return keys;
    }

    private async Task<bool> UpdateAsync(Func<List<KeyRecord>, bool> update, CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        await using FileStream fileLock = await AcquireLockAsync(cancellationToken);
        List<KeyRecord> keys = [.. await ReadAsync(cancellationToken)];
        if (!update(keys)) return false;
        await WriteAsync(keys, cancellationToken);
        return true;
    }

    private async Task WriteAsync(List<KeyRecord> keys, CancellationToken cancellationToken)
    {
        string draft = path + ".new";
        File.Delete(draft);
        await using (var stream = new FileStream(draft, CreateFileOptions(FileMode.CreateNew, FileShare.None)))
        {
            await JsonSerializer.SerializeAsync(stream, keys, KeyJson.Default.ListKeyRecord, cancellationToken);
            stream.Flush(flushToDisk: true);
        }
        File.Move(draft, path, overwrite: true);
        Volatile.Write(ref _snapshot, new Snapshot([], default, -1)); // read again: two changes can have the same file time
    }

    /// <summary>Acquires an exclusive lock across processes: a lock file that is opened without sharing.</summary>
    private async Task<FileStream> AcquireLockAsync(CancellationToken cancellationToken)
    {
        long start = Environment.TickCount64;
        while (true)
        {
            try
            {
                return new FileStream(path + ".lock", CreateFileOptions(FileMode.OpenOrCreate, FileShare.None));
            }
            catch (IOException) when (Environment.TickCount64 - start < _lockTimeout.TotalMilliseconds)
            {
                await Task.Delay(20, cancellationToken);
            }
        }
    }

    private static FileStreamOptions CreateFileOptions(FileMode mode, FileShare share)
    {
        var options = new FileStreamOptions { Mode = mode, Access = FileAccess.ReadWrite, Share = share };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return options;
    }
}
