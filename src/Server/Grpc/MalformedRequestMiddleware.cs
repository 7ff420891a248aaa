using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Ndif.Protocol;

namespace Ndif.Server.Grpc;

/// <summary>
/// Gives a typed error to a gRPC call whose one request could not be read. grpc-dotnet reads it before any interceptor runs and
/// answers UNKNOWN (not protobuf) or RESOURCE_EXHAUSTED (too large) in a response of headers alone, which this middleware completes
/// (grpc-dotnet, UnaryServerCallHandler and HttpContextServerCallContext.ProcessHandlerError).
/// </summary>
internal sealed class MalformedRequestMiddleware(RequestDelegate next, GatewayOptions options)
{
    public async Task InvokeAsync(HttpContext context)
    {
        await next(context);
        if (context.Response.HasStarted || context.Response.Headers.ContainsKey(ErrorWireFormat.Trailer)) return;
        if (!int.TryParse(context.Response.Headers["grpc-status"], out int status)) return;
        Error? error = (StatusCode)status switch
        {
            StatusCode.Unknown or StatusCode.Internal => ServerErrors.MalformedMessage(),
            StatusCode.ResourceExhausted => ServerErrors.MessageTooLarge(options.MessageBytes),
            _ => null,
        };
        if (error is not null) ErrorWireFormat.WriteTrailersOnly(context.Response, error);
    }
}
