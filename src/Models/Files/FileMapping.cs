using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Ndif.Models.Files;

/// <summary>
/// A whole file in memory, private and copy-on-write: an in-place edit of a weight works and never reaches the file. It stays
/// mapped until the file is closed and the last tensor over it has gone.
/// </summary>
internal sealed unsafe partial class FileMapping
{
    // libtorch gives back only the address of a tensor's data, so the mapping is found by its range.
    private static readonly SortedList<nint, FileMapping> _live = [];

    private readonly bool _isMapped;
    private int _references = 1;

    private FileMapping(nint start, long length, bool isMapped) => (Start, Length, _isMapped) = (start, length, isMapped);

    public nint Start { get; }

    /// <summary>In bytes.</summary>
    public long Length { get; }

    /// <summary>Mappings that are still held, for tests.</summary>
    public static int LiveCount
    {
        get { lock (_live) return _live.Count; }
    }

    public ReadOnlySpan<byte> Bytes(long offset, int length) => new((byte*)Start + offset, length);

    public static FileMapping Open(string path)
    {
        using FileStream file = File.OpenRead(path);
        long length = file.Length;
        if (length == 0) throw new EndOfStreamException();
        bool map = OperatingSystem.IsLinux() || OperatingSystem.IsMacOS();
        nint start = map ? Map(file, length) : Read(file, length);
        FileMapping mapping = new(start, length, map);
        lock (_live) _live.Add(start, mapping);
        return mapping;
    }

    public void AddReference() => Interlocked.Increment(ref _references);

    public void Release()
    {
        if (Interlocked.Decrement(ref _references) > 0) return;
        lock (_live) _live.Remove(Start);
        if (_isMapped) _ = Unmap(Start, (nuint)Length);
        else NativeMemory.Free((void*)Start);
    }

    /// <summary>
    /// Lets the pages of a range that was read go, where no tensor looks at it any more: they are the file's, and come back if they
    /// are asked for.
    /// </summary>
    public void ReleasePages(long offset, long length)
    {
        const int DontNeed = 4;
        if (!_isMapped) return;
        long page = Environment.SystemPageSize, from = (offset + page - 1) / page * page, to = (offset + length) / page * page;
        if (to > from) _ = Advise(Start + (nint)from, (nuint)(to - from), DontNeed);
    }

    /// <summary>libtorch's deleter: called with the data pointer when the last storage over it dies.</summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    public static void ReleaseAt(nint data)
    {
        FileMapping? found = null;
        lock (_live)
        {
            int low = 0, high = _live.Count - 1;
            while (low <= high)
            {
                int middle = (low + high) / 2;
                FileMapping mapping = _live.GetValueAtIndex(middle);
                if (data < mapping.Start) high = middle - 1;
                else if (data >= mapping.Start + (nint)mapping.Length) low = middle + 1;
                else { found = mapping; break; }
            }
        }
        found?.Release();
    }

    private static nint Map(FileStream file, long length)
    {
        const int ReadWrite = 3, Private = 2, WillNeed = 3;
        nint start = Map(0, (nuint)length, ReadWrite, Private, (int)file.SafeFileHandle.DangerousGetHandle(), 0);
        if (start == -1) throw new IOException($"mmap failed with errno {Marshal.GetLastPInvokeError()}.");
        _ = Advise(start, (nuint)length, WillNeed); // a cold disk is then read in order, not page by page
        return start;
    }

    /// <summary>
    /// Maps the pages of the whole file, in order, while the caller goes on: who touches one that has not come yet waits for it alone.
    /// Otherwise each sixteen pages are a fault, even of a warm file. For a file whose content is used as it is; small ones are left alone.
    /// </summary>
    public void ReadAhead()
    {
        const int PopulateRead = 22; // since Linux 5.14
        const long Chunk = 8 << 20;
        long length = Length;
        if (!_isMapped || !OperatingSystem.IsLinux() || length < 8 * Chunk) return;
        AddReference();
        new Thread(() =>
        {
            for (long at = 0; at < length && Volatile.Read(ref _references) > 1; at += Chunk)
                if (Advise(Start + (nint)at, (nuint)Math.Min(Chunk, length - at), PopulateRead) != 0) break;
            Release();
        }) { IsBackground = true, Name = "read ahead" }.Start();
    }

    private static nint Read(FileStream file, long length)
    {
        byte* start = (byte*)NativeMemory.Alloc((nuint)length);
        try
        {
            for (long done = 0; done < length;)
            {
                int part = (int)Math.Min(length - done, 1 << 30);
                file.ReadExactly(new Span<byte>(start + done, part));
                done += part;
            }
            return (nint)start;
        }
        catch
        {
            NativeMemory.Free(start);
            throw;
        }
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, long offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint address, nuint length, int advice);
}
