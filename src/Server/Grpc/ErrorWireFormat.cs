using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Ndif.Protocol;

namespace Ndif.Server.Grpc;

/// <summary>
/// How an <see cref="Error"/> travels, in this one place. Over gRPC: a status, the sentence as its detail, the whole error in the
/// trailer <see cref="Trailer"/>. Over HTTP: a status code (<see cref="GetHttpStatus"/>) and the error as JSON (<see cref="ErrorJson"/>).
/// </summary>
public static class ErrorWireFormat
{
    /// <summary>The trailer that carries the serialized <see cref="Error"/> of a failed call.</summary>
    public const string Trailer = "ndif-error-bin";

    /// <summary>Headers have bounds on both sides (64 KB of a .NET client's): longer texts are cut.</summary>
    private const int MaxTextLength = 2000;

    public static StatusCode GetGrpcStatus(ErrorCode code) => code switch
    {
        ErrorCode.Unauthenticated => StatusCode.Unauthenticated,
        ErrorCode.PermissionDenied => StatusCode.PermissionDenied,
        ErrorCode.UnknownJob or ErrorCode.UnknownBlob or ErrorCode.UnknownModel => StatusCode.NotFound,
        ErrorCode.LimitExceeded or ErrorCode.QuotaExceeded or ErrorCode.OutOfMemory => StatusCode.ResourceExhausted,
        ErrorCode.JobCancelled => StatusCode.Cancelled,
        ErrorCode.JobTimeout => StatusCode.DeadlineExceeded,
        ErrorCode.Unavailable or ErrorCode.WorkerLost or ErrorCode.DownloadFailed => StatusCode.Unavailable,
        ErrorCode.CorruptData or ErrorCode.BadCheckpoint or ErrorCode.BadTokenizer => StatusCode.DataLoss,
        ErrorCode.InvalidProgram or ErrorCode.UnknownOp or ErrorCode.UnknownModule or ErrorCode.BadArgument
            or ErrorCode.BadInput or ErrorCode.ShapeMismatch => StatusCode.InvalidArgument,
        ErrorCode.Unsupported or ErrorCode.UnsupportedArchitecture => StatusCode.FailedPrecondition,
        ErrorCode.OutOfOrder or ErrorCode.MissedValue or ErrorCode.OpFailed or ErrorCode.Deadlock or ErrorCode.NoGradient
            or ErrorCode.StepMissed or ErrorCode.LocalCallFailed => StatusCode.FailedPrecondition,
        ErrorCode.IndexOutOfRange => StatusCode.OutOfRange,
        _ => StatusCode.Internal,
    };

    public static int GetHttpStatus(ErrorCode code) => GetGrpcStatus(code) switch
    {
        StatusCode.Unauthenticated => StatusCodes.Status401Unauthorized,
        StatusCode.PermissionDenied => StatusCodes.Status403Forbidden,
        StatusCode.NotFound => StatusCodes.Status404NotFound,
        StatusCode.ResourceExhausted when code == ErrorCode.LimitExceeded => StatusCodes.Status413PayloadTooLarge,
        StatusCode.ResourceExhausted => StatusCodes.Status429TooManyRequests,
        StatusCode.Unavailable => StatusCodes.Status503ServiceUnavailable,
        StatusCode.DataLoss => StatusCodes.Status422UnprocessableEntity,
        StatusCode.InvalidArgument or StatusCode.FailedPrecondition or StatusCode.OutOfRange => StatusCodes.Status400BadRequest,
        _ => StatusCodes.Status500InternalServerError,
    };

    public static RpcException ToRpcException(Error error)
    {
        Error fit = TruncateTexts(error);
        return new RpcException(new Status(GetGrpcStatus(fit.Code), fit.Message), new Metadata { { Trailer, fit.ToByteArray() } });
    }

    /// <summary>Ends a gRPC call that has not begun to answer: a response of headers alone ("trailers-only").</summary>
    public static void WriteTrailersOnly(HttpResponse response, Error error)
    {
        Error fit = TruncateTexts(error);
        response.StatusCode = StatusCodes.Status200OK;
        response.ContentType = "application/grpc";
        response.Headers["grpc-status"] = GetGrpcStatus(fit.Code).ToString("D");
        response.Headers["grpc-message"] = Uri.EscapeDataString(fit.Message); // percent-encoded UTF-8, as gRPC asks
        response.Headers[Trailer] = Convert.ToBase64String(fit.ToByteArray());
    }

    private static Error TruncateTexts(Error error)
    {
        if (error.Message.Length <= MaxTextLength && error.Hint.Length <= MaxTextLength && error.Module.Length <= MaxTextLength
            && (error.Line?.CalculateSize() ?? 0) <= MaxTextLength) return error;
        Error fit = error.Clone();
        fit.Message = ErrorText.Truncate(fit.Message, MaxTextLength);
        fit.Hint = ErrorText.Truncate(fit.Hint, MaxTextLength);
        fit.Module = ErrorText.Truncate(fit.Module, MaxTextLength);
        if (fit.Line?.CalculateSize() > MaxTextLength) fit.Line = null;
        return fit;
    }
}
