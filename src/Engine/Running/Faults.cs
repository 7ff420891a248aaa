using Ndif.Protocol;

namespace Ndif.Engine.Running;

/// <summary>From what libtorch or a module throws to an error with a code; our own errors stay what they are.</summary>
internal static class Faults
{
    public static bool IsOurs(Exception e) => e is NdifException or { InnerException: NdifException } or OperationCanceledException;

    /// <param name="what">What failed: "The model's forward pass".</param>
    public static Exception Of(Exception e, string what, string hint = "") => IsOurs(e) ? e
        : Errors.Throwable(IsMemory(e) ? ErrorCode.OutOfMemory : ErrorCode.OpFailed, $"{what} failed: {e.Message.Split('\n')[0]}", hint, inner: e);

    private static bool IsMemory(Exception e) => e is OutOfMemoryException
        || e.Message.Contains("allocate memory", StringComparison.Ordinal) || e.Message.Contains("out of memory", StringComparison.OrdinalIgnoreCase);
}
