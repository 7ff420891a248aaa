using System.Runtime.InteropServices;

namespace Ndif.Engine.Local;

/// <summary>
/// The priority of the calling thread, which threads that it starts inherit. A thread with a lower one gives way at once when another
/// begins to run, and takes what is left.
/// </summary>
internal static partial class ThreadNiceness
{
    /// <summary>Sets the nice value, from 0, the normal priority, to 19, the lowest. Does nothing where that is not possible.</summary>
    public static void Set(int value)
    {
        const int Process = 0, CallingThread = 0;
        if (OperatingSystem.IsLinux()) _ = SetPriority(Process, CallingThread, value);
    }

    [LibraryImport("libc", EntryPoint = "setpriority")]
    private static partial int SetPriority(int which, int who, int priority);
}
