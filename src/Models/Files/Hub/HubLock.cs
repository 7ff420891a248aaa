namespace Ndif.Models.Files.Hub;

/// <summary>
/// A lock so that one process downloads a file at a time. Python's huggingface_hub uses the same lock file
/// (<c>.locks/models--org--name/{etag}.lock</c>) and the same kind of lock (flock, which .NET uses for FileShare.None).
/// </summary>
internal sealed class HubLock : IDisposable
{
    private const int EWouldBlockLinux = 11, EWouldBlockMac = 35, SharingViolation = unchecked((int)0x80070020);

    private readonly FileStream _file;

    private HubLock(FileStream file) => _file = file;

    public static async Task<HubLock> AcquireAsync(string path, CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        while (true)
        {
            try { return new HubLock(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None)); }
            catch (IOException e) when (e.HResult is EWouldBlockLinux or EWouldBlockMac or SharingViolation)
            {
                // another process has the lock; file locks have no notification, so poll
                await Task.Delay(TimeSpan.FromMilliseconds(100), cancellationToken).ConfigureAwait(false);
            }
        }
    }

    public void Dispose() => _file.Dispose();
}
