using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;
using Ndif.Protocol;
using Ndif.Server.Hosting;

namespace Ndif.Server.OpenAi;

/// <summary>Receives the body of a request within the limits of a message, as those of gRPC calls.</summary>
internal static class RequestBody
{
    /// <summary>
    /// The memory of a body for each of its bytes: the bytes, their JSON tokens, texts, and the alignment of a text while it is encoded.
    /// </summary>
    private const int MemoryPerByte = 112;

    /// <exception cref="OpenAiException">The body is larger than a message may be.</exception>
    /// <exception cref="NdifException">UNAVAILABLE: there is no memory for it at the moment, or it comes too slowly.</exception>
    public static async Task<RequestFields> ReadAsync(HttpContext context, GatewayOptions options)
    {
        if (context.Request.ContentType?.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase) == true)
            throw new OpenAiException("The body of the request must be JSON, with the content type application/json.",
                code: "unsupported_media_type", status: StatusCodes.Status415UnsupportedMediaType);
        if (context.Request.ContentLength > options.MessageBytes) throw TooLarge(options);
        PipeReader reader = context.Request.BodyReader;
        while (true)
        {
            System.IO.Pipelines.ReadResult result = await reader.ReadAsync(context.RequestAborted);
            if (result.Buffer.Length > options.MessageBytes) throw TooLarge(options);
            if (result.IsCompleted)
            {
                RequestScope.Current?.OnMessageReceived((int)result.Buffer.Length);
                RequestScope.Current?.Reserve(result.Buffer.Length * MemoryPerByte);
                byte[] body = result.Buffer.ToArray();
                reader.AdvanceTo(result.Buffer.End);
                return RequestFields.Parse(body);
            }
            reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        }
    }

    private static OpenAiException TooLarge(GatewayOptions options) =>
        new(ServerErrors.MessageTooLarge(options.MessageBytes).Message, code: "request_too_large",
            status: StatusCodes.Status413PayloadTooLarge);
}
