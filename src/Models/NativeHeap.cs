using System.Runtime.InteropServices;

namespace Ndif.Models;

/// <summary>The heap of the C library, which libtorch allocates CPU tensors on.</summary>
internal static unsafe class NativeHeap
{
    /// <summary>malloc_trim, which only glibc has.</summary>
    private static readonly delegate* unmanaged<nuint, int> _mallocTrim =
        OperatingSystem.IsLinux() && NativeLibrary.TryLoad("libc.so.6", out nint libc)
        && NativeLibrary.TryGetExport(libc, "malloc_trim", out nint trim)
            ? (delegate* unmanaged<nuint, int>)trim : null;

    /// <summary>
    /// Returns free heap memory to the system. Passes over long prompts leave a fragmented heap: with GPT-2 small at 512 tokens 150 MB
    /// after the first pass and 300 to 900 MB after eight (benchmark memory.512 tokens), in plain TorchSharp too. A call takes tens of
    /// milliseconds, and the next pass has to fault the pages in again (2-3 % of its time), so call it when nothing is waiting.
    /// </summary>
    public static void Trim()
    {
        if (_mallocTrim is not null) _ = _mallocTrim(0);
    }
}
