using Microsoft.AspNetCore.Http;

namespace Ndif.Server.Scaling;

/// <summary>
/// Serves the external scaler on its own port and nothing else there, so that a network policy can admit KEDA alone to it. The port is
/// that of the connection: a client can choose the host name of a request.
/// </summary>
internal sealed class ScalerPortMiddleware(RequestDelegate next, GatewayOptions options)
{
    public Task InvokeAsync(HttpContext context)
    {
        bool isScaler = context.GetEndpoint()?.Metadata.GetMetadata<ScalerEndpointAttribute>() is not null;
        if (isScaler == (context.Connection.LocalPort == options.ScalerPort)) return next(context);
        context.Response.StatusCode = StatusCodes.Status404NotFound; // a gRPC client reads it as UNIMPLEMENTED
        return Task.CompletedTask;
    }
}
