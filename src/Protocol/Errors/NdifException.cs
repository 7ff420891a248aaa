using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// Any failure of a program, a model or the service, with its <see cref="ErrorCode"/>, the module and the user's line.
/// The same type and text are thrown by a local run and by a remote one.
/// </summary>
public class NdifException : Exception
{
    public NdifException(Error error, Exception? inner = null) : base(ErrorText.Format(error), inner) => Error = error;

    public NdifException(ErrorCode code, string message, string hint = "", string module = "", Exception? inner = null)
        : this(new Error { Code = code, Message = message, Hint = hint, Module = module }, inner) { }

    /// <summary>The failure as data: what travels.</summary>
    public Error Error { get; }

    public ErrorCode Code => Error.Code;

    /// <summary>The path of the module concerned, or empty.</summary>
    public string Module => Error.Module;

    /// <summary>True if trying again may succeed without a change.</summary>
    public bool Retryable => Error.Retryable;
}

/// <summary>A value was read or written after the model had run past its module.</summary>
public sealed class OutOfOrderException(Error error, Exception? inner = null) : NdifException(error, inner);

/// <summary>A value was waited for, and the module it belongs to was never called.</summary>
public sealed class MissedValueException(Error error, Exception? inner = null) : NdifException(error, inner);

/// <summary>The shapes of an operation's arguments do not fit.</summary>
public sealed class ShapeMismatchException(Error error, Exception? inner = null) : NdifException(error, inner);

/// <summary>The program was refused before it ran: an unknown operation, module or argument, a broken structure, a limit.</summary>
public sealed class BadProgramException(Error error, Exception? inner = null) : NdifException(error, inner);

/// <summary>A checkpoint or tokenizer on disk cannot be used.</summary>
public sealed class CheckpointException(Error error, Exception? inner = null) : NdifException(error, inner);

/// <summary>The service refused the key, or what it may do.</summary>
public sealed class AccessException(Error error, Exception? inner = null) : NdifException(error, inner);
