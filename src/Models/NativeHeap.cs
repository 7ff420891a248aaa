using System.Runtime.InteropServices;

namespace Ndif.Models;

/// <summary>The C library's heap, on which libtorch puts every tensor of the CPU.</summary>
public static unsafe class NativeHeap
{
    /// <summary>malloc_trim, which glibc has and others have not.</summary>
    private static readonly delegate* unmanaged<nuint, int> _mallocTrim =
        OperatingSystem.IsLinux() && NativeLibrary.TryLoad("libc.so.6", out nint libc) && NativeLibrary.TryGetExport(libc, "malloc_trim", out nint trim)
            ? (delegate* unmanaged<nuint, int>)trim : null;

    /// <summary>
    /// Gives memory that no tensor uses back to the system. Passes over long prompts leave a heap of holes: with GPT-2-small at 512
    /// tokens 150 MB after the first and 300 to 900 MB after eight (benchmark memory.512 tokens), in plain TorchSharp too. It takes
    /// tens of milliseconds and the next pass has to ask for the pages again, 2-3 % of it, so it is for times when nothing waits.
    /// </summary>
    public static void Trim()
    {
        if (_mallocTrim is not null) _ = _mallocTrim(0);
    }
}
