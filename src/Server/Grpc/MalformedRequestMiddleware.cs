using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Ndif.Protocol;

namespace Ndif.Server.Grpc;

/// <summary>
/// Adds a typed error to the response of a gRPC call whose request message could not be read. grpc-dotnet reads the message before any
/// interceptor runs, and responds with UNKNOWN (not protobuf) or RESOURCE_EXHAUSTED (too large) in a response of headers only, which this
/// middleware completes (see UnaryServerCallHandler and HttpContextServerCallContext.ProcessHandlerError in grpc-dotnet).
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
            StatusCode.ResourceExhausted => ServerErrors.MessageTooLarge(GatewayHost.GetMaxMessageBytes(context, options)),
            _ => null,
        };
        if (error is not null) ErrorWireFormat.WriteTrailersOnly(context.Response, error);
    }
}
