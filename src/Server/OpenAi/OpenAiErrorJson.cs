using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http;
using Ndif.Protocol;
using Ndif.Server.Grpc;

namespace Ndif.Server.OpenAi;

/// <summary>The body of a failed request in OpenAI's format: <c>{"error": {"message": ..., "type": ..., "param": ..., "code": ...}}</c>.
/// </summary>
/// <remarks>ErrorResponse in openai/openai-openapi</remarks>
internal sealed record OpenAiErrorJson(OpenAiErrorBody Error)
{
    public static (int Status, OpenAiErrorJson Body) Of(OpenAiException refusal) =>
        (refusal.Status, new OpenAiErrorJson(new OpenAiErrorBody(refusal.Message, GetType(refusal.Status), refusal.Param, refusal.Code)));

    public static (int Status, OpenAiErrorJson Body) Of(Error error)
    {
        error = ServerPaths.Remove(error);
        int status = GetHttpStatus(error.Code);
        string message = error.Hint.Length == 0 ? error.Message : $"{error.Message} {error.Hint}";
        return (status, new OpenAiErrorJson(new OpenAiErrorBody(
            ErrorText.Truncate(message, 2000), GetType(status), error.Code is ErrorCode.UnknownModel ? "model" : null,
            GetCode(error.Code))));
    }

    /// <summary>Writes an error of the service as the whole response.</summary>
    public static Task WriteAsync(HttpResponse response, Error error)
    {
        if (error.RetryAfterSeconds > 0) response.Headers.RetryAfter = Math.Ceiling(error.RetryAfterSeconds).ToString("0");
        return WriteAsync(response, Of(error));
    }

    /// <summary>Writes an error as the whole response.</summary>
    public static Task WriteAsync(HttpResponse response, (int Status, OpenAiErrorJson Body) error)
    {
        response.StatusCode = error.Status;
        if (error.Status == StatusCodes.Status401Unauthorized) response.Headers.WWWAuthenticate = "Bearer";
        return response.WriteAsJsonAsync(error.Body, OpenAiJsonContext.Default.OpenAiErrorJson);
    }

    public byte[] ToUtf8() => JsonSerializer.SerializeToUtf8Bytes(this, OpenAiJsonContext.Default.OpenAiErrorJson);

    /// <summary>The status, which tells OpenAI's clients whether a retry can help: they retry 408, 429 and 500 to 504.</summary>
    private static int GetHttpStatus(ErrorCode code) => code switch
    {
        ErrorCode.LimitExceeded or ErrorCode.JobTimeout or ErrorCode.OutOfMemory => StatusCodes.Status400BadRequest,
        ErrorCode.JobCancelled => StatusCodes.Status409Conflict,
        _ => ErrorWireFormat.GetHttpStatus(code),
    };

    private static string GetType(int status) => status switch
    {
        StatusCodes.Status401Unauthorized => "authentication_error",
        StatusCodes.Status403Forbidden => "permission_error",
        StatusCodes.Status429TooManyRequests => "rate_limit_error",
        >= 500 => "server_error",
        _ => "invalid_request_error",
    };

    /// <summary>OpenAI's codes where it has one; the name of the code in lower case elsewhere.</summary>
    private static string GetCode(ErrorCode code) => code switch
    {
        ErrorCode.Unauthenticated => "invalid_api_key",
        ErrorCode.UnknownModel => "model_not_found",
        ErrorCode.QuotaExceeded => "rate_limit_exceeded",
        _ => ErrorCodeNames.GetName(code).ToLowerInvariant(),
    };
}

internal sealed record OpenAiErrorBody(string Message, string Type, string? Param, string? Code);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(OpenAiErrorJson))]
internal sealed partial class OpenAiJsonContext : JsonSerializerContext;
