namespace Ndif.Models.CpuKernels;

/// <summary>
/// A function that computes a whole forward at once, or null where something inside is watched or it is not made for. A forward asks it
/// in its first line, <c>if (_quick.Run(x) is { } quick) return quick;</c>, which the instrumented copies of Source leave out.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class FastPathAttribute : Attribute;

/// <summary>How often whole forwards were computed at once.</summary>
internal static class FastPathCounter
{
    /// <summary>On this thread, so far: what tests look at, because nothing else shows which way a number came.</summary>
    [ThreadStatic]
    public static long Count;
}
