using System.Diagnostics;
using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;

namespace Ndif.Server.Hosting;

/// <summary>One line and one measurement for each request: method, path, outcome, time. Never a header, never a query.</summary>
internal sealed class RequestLoggingMiddleware(RequestDelegate next, ILogger<RequestLoggingMiddleware> logger)
{
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
            TimeSpan took = Stopwatch.GetElapsedTime(start);
            string route = (context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "none";
            string status = GetStatusName(context);
            activity?.SetTag("route", route).SetTag("status", status);
            Telemetry.RequestSeconds.Record(
                took.TotalSeconds, new KeyValuePair<string, object?>("route", route), new KeyValuePair<string, object?>("status", status));
            if (!IsPolledRoute(route)) logger.Request(context.Request.Method, context.Request.Path.ToUriComponent(), status, took.TotalMilliseconds);
        }
    }

    /// <summary>The caller's W3C trace, unless the framework has begun a span of it already.</summary>
    private static ActivityContext GetParentContext(HttpRequest request) => Activity.Current is { } current ? current.Context
        : ActivityContext.TryParse(request.Headers.TraceParent, request.Headers.TraceState, isRemote: true, out ActivityContext parent) ? parent : default;

    /// <summary>The gRPC status by name where there is one, the HTTP status otherwise.</summary>
    private static string GetStatusName(HttpContext context)
    {
        string? grpc = context.Response.Headers["grpc-status"];
        grpc ??= context.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpResponseTrailersFeature>()?.Trailers["grpc-status"];
        return int.TryParse(grpc, out int code) ? ((StatusCode)code).ToString() : context.Response.StatusCode.ToString("0");
    }

    /// <summary>Dashboards and probes ask every other second: they are measured, but would drown the log.</summary>
    private static bool IsPolledRoute(string route) => route is "/status" or "/metrics" or "/healthz";
}
