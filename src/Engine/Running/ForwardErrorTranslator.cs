using Ndif.Protocol;

namespace Ndif.Engine.Running;

/// <summary>Translates exceptions of the model's forward and of other steps of a run to errors with a code.</summary>
internal static class ForwardErrorTranslator
{
    /// <param name="operation">The step that failed: "The model's forward pass".</param>
    public static Exception Translate(Exception e, string operation, string hint = "")
    {
        if (LibtorchErrors.IsTyped(e)) return e;
        ErrorCode code = LibtorchErrors.IsOutOfMemory(e) ? ErrorCode.OutOfMemory : ErrorCode.OpFailed;
        return Errors.CreateException(code, $"{operation} failed: {LibtorchErrors.FirstLine(e)}", hint, inner: e);
    }
}
