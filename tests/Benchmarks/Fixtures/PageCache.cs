using System.Runtime.InteropServices;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>The operating system's page cache of a file.</summary>
internal static unsafe partial class PageCache
{
    private const int DontNeed = 4, ReadOnly = 1, Shared = 1;

    /// <summary>Drops a file from the cache. Its pages are clean, so this needs no privileges.</summary>
    /// <returns>False if most of the file is still in memory.</returns>
    public static bool Evict(string path)
    {
        if (!OperatingSystem.IsLinux()) return false;
        using FileStream file = File.OpenRead(path);
        int descriptor = (int)file.SafeFileHandle.DangerousGetHandle();
        if (Advise(descriptor, 0, 0, DontNeed) != 0) return false;
        long pages = (file.Length + Environment.SystemPageSize - 1) / Environment.SystemPageSize;
        nint start = Map(0, (nuint)file.Length, ReadOnly, Shared, descriptor, 0);
        if (start == -1) return false;
        byte[] present = new byte[pages];
        int result;
        fixed (byte* to = present) result = InCore(start, (nuint)file.Length, to);
        _ = Unmap(start, (nuint)file.Length);
        return result == 0 && present.Count(page => (page & 1) != 0) < pages / 50;
    }

    [LibraryImport("libc", EntryPoint = "posix_fadvise")]
    private static partial int Advise(int file, long offset, long length, int advice);

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, long offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "mincore")]
    private static partial int InCore(nint address, nuint length, byte* present);
}
