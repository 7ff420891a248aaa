using Microsoft.AspNetCore.Http;

namespace Ndif.Server.OpenAi;

/// <summary>A request that OpenAI's API refuses: what the error object of the response says.</summary>
/// <param name="message">A sentence for the user.</param>
/// <param name="param">The field of the request that is wrong; null if it is none.</param>
/// <param name="code">OpenAI's code, or one of this service.</param>
internal sealed class OpenAiException(
    string message, string? param = null, string? code = null, int status = StatusCodes.Status400BadRequest) : Exception(message)
{
    public string? Param => param;

    public string? Code => code;

    public int Status => status;

    /// <summary>A path or method that this service does not have.</summary>
    public static OpenAiException UnknownUrl(HttpRequest request) => new(
        $"Invalid URL ({request.Method} {request.Path}). This service has GET /v1/models, POST /v1/completions and "
            + "POST /v1/chat/completions.",
        code: "unknown_url", status: StatusCodes.Status404NotFound);

    /// <summary>A value of a field that is not valid.</summary>
    public static OpenAiException Invalid(string param, string message) => new(message, param, "invalid_value");

    /// <summary>A field, or a value of it, that this service does not have.</summary>
    public static OpenAiException Unsupported(string param, string message) => new(message, param, "unsupported_parameter");
}
