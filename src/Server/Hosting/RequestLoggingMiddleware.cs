using System.Diagnostics;
using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;
using Ndif.Server.Keys;

namespace Ndif.Server.Hosting;

/// <summary>
/// Logs and measures every request: method, path, status and duration. Headers and query strings are never logged. Of very many requests
/// only some are logged (<see cref="RequestLogLimiter"/>).
/// </summary>
internal sealed class RequestLoggingMiddleware(
    RequestDelegate next, RequestLogLimiter lines, ILogger<RequestLoggingMiddleware> logger)
{
    private const int MaxPathLength = 500;

    public async Task InvokeAsync(HttpContext context)
    {
        long start = Stopwatch.GetTimestamp();
        using Activity? activity = Telemetry.Source.StartActivity("request", ActivityKind.Server, GetParentContext(context.Request));
        try
        {
            await next(context);
        }
        finally
        {
            TimeSpan duration = Stopwatch.GetElapsedTime(start);
            string route = (context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "none";
            string status = GetStatusName(context);
            activity?.SetTag("route", route).SetTag("status", status);
            Telemetry.RequestSeconds.Record(
                duration.TotalSeconds, new KeyValuePair<string, object?>("route", route),
                new KeyValuePair<string, object?>("status", status));
            if (!IsPolledRoute(route)) Log(context, status, duration);
        }
    }

    private void Log(HttpContext context, string status, TimeSpan duration)
    {
        if (!lines.TryTake(context.Features.Get<Caller>()?.Id ?? "")) return;
        string path = ServerErrors.Truncate(context.Request.Path.ToUriComponent(), MaxPathLength);
        logger.Request(context.Request.Method, path, status, duration.TotalMilliseconds);
    }

    /// <summary>Returns the current span of the framework, or else the W3C trace context of the caller.</summary>
    private static ActivityContext GetParentContext(HttpRequest request)
    {
        if (Activity.Current is { } current) return current.Context;
        return ActivityContext.TryParse(
            request.Headers.TraceParent, request.Headers.TraceState, isRemote: true, out ActivityContext parent) ? parent : default;
    }

    /// <summary>Returns the name of the gRPC status, or the HTTP status if there is none.</summary>
    private static string GetStatusName(HttpContext context)
    {
        string? grpc = context.Response.Headers["grpc-status"];
        grpc ??= context.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpResponseTrailersFeature>()?.Trailers["grpc-status"];
        return int.TryParse(grpc, out int code) ? ((StatusCode)code).ToString() : context.Response.StatusCode.ToString("0");
    }

    /// <summary>Endpoints that dashboards and probes poll every few seconds are measured, but not logged.</summary>
    private static bool IsPolledRoute(string route) => route is "/status" or "/metrics" or "/healthz" or "/livez" or "/readyz";
}
