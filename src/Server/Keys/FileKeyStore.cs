using System.Text.Json;

namespace Ndif.Server.Keys;

/// <summary>
/// Keys in one JSON file that only its owner may read (mode 0600). Every change is written beside it and moved into place, so that a
/// crash leaves the old file or the new one. Several processes may share the file: `ndif keys create` reaches a running gateway,
/// which notices the changed file at the next call.
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

    /// <summary>The keys as they are now; read again only if the file has changed. The list is never changed once published.</summary>
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
        await using FileStream held = await AcquireLockAsync(cancellationToken);
        List<KeyRecord> keys = [.. await ReadAsync(cancellationToken)];
        if (!update(keys)) return false;
        await WriteAsync(keys, cancellationToken);
        return true;
    }

    private async Task WriteAsync(List<KeyRecord> keys, CancellationToken cancellationToken)
    {
        string fresh = path + ".new";
        File.Delete(fresh);
        await using (var stream = new FileStream(fresh, CreateFileOptions(FileMode.CreateNew, FileShare.None)))
        {
            await JsonSerializer.SerializeAsync(stream, keys, KeyJson.Default.ListKeyRecord, cancellationToken);
            stream.Flush(flushToDisk: true);
        }
        File.Move(fresh, path, overwrite: true);
        Volatile.Write(ref _snapshot, new Snapshot([], default, -1)); // two changes within one tick of the file's clock: read again
    }

    /// <summary>Holds off all others, in this process and elsewhere: an exclusively opened file beside the store.</summary>
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
