using System.Runtime.InteropServices;

namespace Ndif.Queue.Blobs;

/// <summary>
/// The clock of a file system, which writes the times of its files: it is read from a new file every few seconds, and continued with the
/// monotonic clock of this process. Processes on several machines with different clocks agree on it.
/// </summary>
internal sealed class FileSystemClock(string folder) : TimeProvider
{
    private const int CurrentFolder = -100; // AT_FDCWD
    private static readonly TimeSpan _readInterval = TimeSpan.FromSeconds(10);

    private readonly Lock _lock = new();
    private Reading? _last;

    /// <exception cref="IOException">The file system could not be written when it was read for the first time.</exception>
    public override DateTimeOffset GetUtcNow()
    {
        lock (_lock)
        {
            if (_last is null || System.GetElapsedTime(_last.Timestamp) >= _readInterval) _last = Read(_last);
            return _last.Time + System.GetElapsedTime(_last.Timestamp);
        }
    }

    /// <summary>Sets the last write time of a file to the current time of its file system. Returns false if there is none.</summary>
    public static bool Touch(string path)
    {
        if (SetFileTimes(CurrentFolder, path, 0, 0) == 0) return true;
        int error = Marshal.GetLastPInvokeError();
        if (!File.Exists(path)) return false;
        throw new IOException($"The time of a blob could not be set: {Marshal.GetPInvokeErrorMessage(error)}.");
    }

    private Reading Read(Reading? before)
    {
        string path = Path.Combine(folder, $"clock-{Guid.NewGuid():n}");
        try
        {
            long asked = System.GetTimestamp();
            File.WriteAllBytes(path, []);
            DateTimeOffset time = new(File.GetLastWriteTimeUtc(path), TimeSpan.Zero);
            File.Delete(path);
            return new Reading(time, asked);
        }
        catch (Exception failure) when (before is not null && failure is IOException or UnauthorizedAccessException)
        {
            return before!; // the disk may be full
        }
    }

#pragma warning disable SYSLIB1054 // source-generated calls need unsafe code
    [DllImport("libc", EntryPoint = "utimensat", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SetFileTimes(int folder, [MarshalAs(UnmanagedType.LPUTF8Str)] string path, nint times, int flags);
#pragma warning restore SYSLIB1054

    private sealed record Reading(DateTimeOffset Time, long Timestamp);
}
