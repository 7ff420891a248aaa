namespace Ndif.Models.Files.Hub;

/// <summary>
/// One downloader of a file at a time, in this process and in others, Python's huggingface_hub among them: the same lock file
/// (<c>.locks/models--org--name/{etag}.lock</c>) locked the same way (flock, which .NET uses for an unshared file).
/// </summary>
internal sealed class HubLock : IDisposable
{
    private const int LockedOnLinux = 11, LockedOnMac = 35, LockedOnWindows = unchecked((int)0x80070020); // EWOULDBLOCK, twice; a sharing violation

    private readonly FileStream _file;

    private HubLock(FileStream file) => _file = file;

    public static async Task<HubLock> AcquireAsync(string path, CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        while (true)
        {
            try { return new HubLock(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None)); }
            catch (IOException e) when (e.HResult is LockedOnLinux or LockedOnMac or LockedOnWindows)
            {
                // someone has it; there is nothing to wait on but time
                await Task.Delay(TimeSpan.FromMilliseconds(100), cancellationToken).ConfigureAwait(false);
            }
        }
    }

    public void Dispose() => _file.Dispose();
}
