using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Ndif.Models.Files;

/// <summary>
/// A private copy-on-write mapping of a whole file: an in-place edit of a weight works and never reaches the file. The file stays
/// mapped until the last reference, of the open file or of a tensor over it, is released.
/// </summary>
internal sealed unsafe partial class FileMapping
{
    // by start address: the deleter of a tensor receives only the address of its data
    private static readonly SortedList<nint, FileMapping> _live = [];

    private readonly string _path;
    private readonly bool _isMapped;
    private int _references = 1;

    private FileMapping(string path, nint start, long length, bool isMapped)
        => (_path, Start, Length, _isMapped) = (path, start, length, isMapped);

    public nint Start { get; }

    /// <summary>The length of the file in bytes.</summary>
    public long Length { get; }

    /// <summary>The number of mappings of a file, or of the files in a folder, that have references, for tests.</summary>
    public static int LiveCount(string path)
    {
        lock (_live) return _live.Values.Count(mapping => mapping._path.StartsWith(path, StringComparison.Ordinal));
    }

    public ReadOnlySpan<byte> Bytes(long offset, int length) => new((byte*)Start + offset, length);

    /// <summary>
    /// Creates a tensor over a range of the file, on the CPU. The caller owns it; it belongs to no dispose scope, and keeps the file
    /// mapped. A range that is not aligned to its elements is copied.
    /// </summary>
    /// <param name="offset">The first byte in the file.</param>
    /// <param name="elementSize">The bytes of an element.</param>
    public Tensor NewTensor(long offset, long[] shape, ScalarType type, int elementSize)
    {
        long elements = TensorShape.ElementCount(shape);
        if (elements == 0) return empty(shape, type).DetachFromDisposeScope();
        nint data = Start + (nint)offset;
        if (data % elementSize != 0)
        {
            Tensor copy = empty(shape, type).DetachFromDisposeScope();
            Buffer.MemoryCopy((void*)data, (void*)NativeTensor.DataPointer(copy.Handle), elements * elementSize, elements * elementSize);
            return copy;
        }
        AddReference();
        fixed (long* sizes = shape)
        {
            nint handle = NewTensor(data, &ReleaseAt, sizes, shape.Length, (sbyte)type, (sbyte)type, 0, 0, 0);
            if (handle == 0)
            {
                Release();
                CheckForErrors();
            }
            return Tensor.UnsafeCreateTensor(handle).DetachFromDisposeScope();
        }
    }

    public static FileMapping Open(string path)
    {
        using FileStream file = File.OpenRead(path);
        long length = file.Length;
        if (length == 0) throw new EndOfStreamException();
        bool map = OperatingSystem.IsLinux() || OperatingSystem.IsMacOS();
        nint start = map ? Map(file, length) : Read(file, length);
        FileMapping mapping = new(path, start, length, map);
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
    /// Releases the physical pages of a range that no tensor refers to. They are read from the file again when they are accessed.
    /// </summary>
    public void ReleasePages(long offset, long length)
    {
        const int DontNeed = 4;
        if (!_isMapped) return;
        long page = Environment.SystemPageSize, from = (offset + page - 1) / page * page, to = (offset + length) / page * page;
        if (to > from) _ = Advise(Start + (nint)from, (nuint)(to - from), DontNeed);
    }

    /// <summary>The deleter of a tensor's storage: libtorch calls it with the address of the data.</summary>
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
        _ = Advise(start, (nuint)length, WillNeed); // the system reads a file that is not cached sequentially instead of page by page
        return start;
    }

    /// <summary>
    /// Maps the pages of the whole file on a background thread, in order; an access to a page that is not mapped yet waits for that
    /// page only. Without it every sixteen pages cause a page fault, even if the file is cached. For a file whose content is used
    /// unconverted; small files are skipped.
    /// </summary>
    public void ReadAhead()
    {
        const int PopulateRead = 22; // MADV_POPULATE_READ, since Linux 5.14
        const long Chunk = 8 << 20;
        long length = Length;
        if (!_isMapped || !OperatingSystem.IsLinux() || length < 8 * Chunk) return;
        AddReference();
        new Thread(() =>
        {
            for (long offset = 0; offset < length && Volatile.Read(ref _references) > 1; offset += Chunk)
                if (Advise(Start + (nint)offset, (nuint)Math.Min(Chunk, length - offset), PopulateRead) != 0) break;
            Release();
        }) { IsBackground = true, Name = "read ahead" }.Start();
    }

    private static nint Read(FileStream file, long length)
    {
        byte* start = (byte*)NativeMemory.Alloc((nuint)length);
        try
        {
            for (long read = 0; read < length;)
            {
                int count = (int)Math.Min(length - read, 1 << 30);
                file.ReadExactly(new Span<byte>(start + read, count));
                read += count;
            }
            return (nint)start;
        }
        catch
        {
            NativeMemory.Free(start);
            throw;
        }
    }

    [LibraryImport("LibTorchSharp", EntryPoint = "THSTensor_new")]
    private static partial nint NewTensor(nint data, delegate* unmanaged[Cdecl]<nint, void> deleter, long* sizes, int dimensions,
        sbyte scalarType, sbyte dtype, int deviceType, int deviceIndex, byte requiresGrad);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, long offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint address, nuint length, int advice);
}
