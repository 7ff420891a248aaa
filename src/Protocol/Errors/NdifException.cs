using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// A failure of a program, a model or the service, with its <see cref="ErrorCode"/>, the module and the line of the user's code. A local
/// run and a remote run throw the same type with the same text. docs/errors explains each code.
/// </summary>
public class NdifException : Exception
{
    /// <summary>The exception for an error.</summary>
    public NdifException(Error error, Exception? inner = null) : base(ErrorText.Format(error), inner) => Error = error;

    /// <summary>The exception for a new error.</summary>
    /// <param name="hint">What the user can do.</param>
    /// <param name="module">The path of the module concerned.</param>
    public NdifException(ErrorCode code, string message, string hint = "", string module = "", Exception? inner = null)
        : this(new Error { Code = code, Message = message, Hint = hint, Module = module }, inner) { }

    /// <summary>The failure as the message that the service sends.</summary>
    public Error Error { get; }

    /// <summary>The kind of failure.</summary>
    public ErrorCode Code => Error.Code;

    /// <summary>The path of the module concerned, or empty.</summary>
    public string Module => Error.Module;

    /// <summary>True if the same call may succeed when it is repeated.</summary>
    public bool Retryable => Error.Retryable;
}

/// <summary>OUT_OF_ORDER: a value was read or written after the model had already run its module.</summary>
public sealed class OutOfOrderException(Error error, Exception? inner = null) : NdifException(error, inner);

/// <summary>
/// MISSED_VALUE or STEP_MISSED: the program needs a value of a module that was not called, or of a step that did not happen.
/// </summary>
public sealed class MissedValueException(Error error, Exception? inner = null) : NdifException(error, inner);

/// <summary>SHAPE_MISMATCH: the shapes of an operation's arguments do not fit together.</summary>
public sealed class ShapeMismatchException(Error error, Exception? inner = null) : NdifException(error, inner);

/// <summary>
/// The program was refused before it ran: INVALID_PROGRAM, UNKNOWN_OP, UNKNOWN_MODULE, BAD_ARGUMENT, UNSUPPORTED or LIMIT_EXCEEDED.
/// </summary>
public sealed class BadProgramException(Error error, Exception? inner = null) : NdifException(error, inner);

/// <summary>BAD_CHECKPOINT, UNSUPPORTED_ARCHITECTURE or BAD_TOKENIZER: the files of a model cannot be used.</summary>
public sealed class CheckpointException(Error error, Exception? inner = null) : NdifException(error, inner);

/// <summary>UNAUTHENTICATED or PERMISSION_DENIED: the service does not accept the key, or the key does not have the permission.</summary>
public sealed class AccessException(Error error, Exception? inner = null) : NdifException(error, inner);
