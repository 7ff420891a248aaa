namespace Ndif.Models.CpuKernels;

/// <summary>Counts the forwards that a fast path has computed.</summary>
internal static class FastPathCounter
{
    /// <summary>The count of this thread. Tests read it, because the result does not show which path computed it.</summary>
    [ThreadStatic]
    public static long Count;
}
