namespace Ndif.Models.CpuKernels;

/// <summary>
/// Marks a method that computes a whole forward by fused kernels, or returns null if a module inside is hooked or the input is not
/// supported. A forward calls it in its first line, <c>if (_fused.TryForward(x) is { } output) return output;</c>; the source generator
/// leaves this line out of the instrumented copy.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class FastPathAttribute : Attribute;
