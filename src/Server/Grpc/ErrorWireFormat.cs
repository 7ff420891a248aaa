using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Ndif.Protocol;

namespace Ndif.Server.Grpc;

/// <summary>
/// The wire format of an <see cref="Error"/>. In gRPC: a status code, the message as status detail, and the complete error in the trailer
/// <see cref="Trailer"/>. In HTTP: a status code (<see cref="GetHttpStatus"/>) and the error as JSON (<see cref="ErrorJson"/>).
/// </summary>
public static class ErrorWireFormat
{
    /// <summary>The trailer that carries the serialized <see cref="Error"/> of a failed call.</summary>
    public const string Trailer = "ndif-error-bin";

    /// <summary>Longer texts are truncated, because servers and clients limit the size of headers (a .NET client to 64 KB).</summary>
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
        StatusCode.Cancelled => StatusCodes.Status499ClientClosedRequest, // not an error of the service: nobody reads the response
        StatusCode.Unavailable => StatusCodes.Status503ServiceUnavailable,
        StatusCode.DataLoss => StatusCodes.Status422UnprocessableEntity,
        StatusCode.InvalidArgument or StatusCode.FailedPrecondition or StatusCode.OutOfRange => StatusCodes.Status400BadRequest,
        _ => StatusCodes.Status500InternalServerError,
    };

    public static RpcException ToRpcException(Error error)
    {
        Error truncated = TruncateTexts(error);
        return new RpcException(
            new Status(GetGrpcStatus(truncated.Code), truncated.Message), new Metadata { { Trailer, truncated.ToByteArray() } });
    }

    /// <summary>The error that an exception of <see cref="ToRpcException"/> carries; null for another one.</summary>
    internal static Error? FindError(RpcException failure) =>
        failure.Trailers.GetValueBytes(Trailer) is { } bytes ? Error.Parser.ParseFrom(bytes) : null;

    /// <summary>Ends a gRPC call before its response has started, with a response of headers only ("trailers-only").</summary>
    public static void WriteTrailersOnly(HttpResponse response, Error error)
    {
        Error truncated = TruncateTexts(error);
        response.StatusCode = StatusCodes.Status200OK;
        response.ContentType = "application/grpc";
        response.Headers["grpc-status"] = GetGrpcStatus(truncated.Code).ToString("D");
        response.Headers["grpc-message"] = Uri.EscapeDataString(truncated.Message); // percent-encoded UTF-8, as gRPC requires
        response.Headers[Trailer] = Convert.ToBase64String(truncated.ToByteArray());
    }

    private static Error TruncateTexts(Error error)
    {
        error = ServerPaths.Remove(error);
        if (error.Message.Length <= MaxTextLength && error.Hint.Length <= MaxTextLength && error.Module.Length <= MaxTextLength
            && (error.Line?.CalculateSize() ?? 0) <= MaxTextLength) return error;
        Error truncated = error.Clone();
        truncated.Message = ErrorText.Truncate(truncated.Message, MaxTextLength);
        truncated.Hint = ErrorText.Truncate(truncated.Hint, MaxTextLength);
        truncated.Module = ErrorText.Truncate(truncated.Module, MaxTextLength);
        if (truncated.Line?.CalculateSize() > MaxTextLength) truncated.Line = null;
        return truncated;
    }
}
