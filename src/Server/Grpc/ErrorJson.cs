using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http;
using Ndif.Protocol;
using Ndif.Server.OpenAi;

namespace Ndif.Server.Grpc;

/// <summary>An <see cref="Error"/> as the JSON body of a failed HTTP request.</summary>
/// <param name="Code">The name of the <see cref="ErrorCode"/> in the proto: <c>UNKNOWN_BLOB</c>.</param>
public sealed record ErrorJson(string Code, string Message, string Hint, bool Retryable, double RetryAfterSeconds)
{
    public static ErrorJson Of(Error error) => new(
        ErrorCodeNames.GetName(error.Code), ServerPaths.Remove(error.Message), ServerPaths.Remove(error.Hint), error.Retryable,
            error.RetryAfterSeconds);

    /// <summary>Writes an error as the whole response: in OpenAI's format if the endpoint is one of OpenAI's API.</summary>
    public static Task WriteAsync(HttpResponse response, Error error)
    {
        if (response.HttpContext.GetEndpoint()?.Metadata.GetMetadata<OpenAiApiAttribute>() is not null)
            return OpenAiErrorJson.WriteAsync(response, error);
        response.StatusCode = ErrorWireFormat.GetHttpStatus(error.Code);
        if (response.StatusCode == StatusCodes.Status401Unauthorized) response.Headers.WWWAuthenticate = "Bearer";
        if (error.RetryAfterSeconds > 0) response.Headers.RetryAfter = Math.Ceiling(error.RetryAfterSeconds).ToString("0");
        return response.WriteAsJsonAsync(Of(error), ErrorJsonContext.Default.ErrorJson);
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(ErrorJson))]
internal sealed partial class ErrorJsonContext : JsonSerializerContext;
