using Ndif.Protocol;

namespace Ndif.Engine.Running;

/// <summary>From what libtorch or a module throws to an error with a code; our own errors stay what they are.</summary>
internal static class ForwardErrorTranslator
{
    public static bool IsTypedError(Exception e) => e is NdifException or { InnerException: NdifException } or OperationCanceledException;

    /// <param name="operation">What failed: "The model's forward pass".</param>
    public static Exception Translate(Exception e, string operation, string hint = "") => IsTypedError(e) ? e
        : Errors.CreateException(IsOutOfMemory(e) ? ErrorCode.OutOfMemory : ErrorCode.OpFailed, $"{operation} failed: {e.Message.Split('\n')[0]}", hint, inner: e);

    private static bool IsOutOfMemory(Exception e) => e is OutOfMemoryException
        || e.Message.Contains("allocate memory", StringComparison.Ordinal) || e.Message.Contains("out of memory", StringComparison.OrdinalIgnoreCase);
}
