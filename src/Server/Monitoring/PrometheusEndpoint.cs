using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Prometheus;

namespace Ndif.Server.Monitoring;

/// <summary>
/// Serves a registry as text at `/metrics`. The text is produced once for all requests of a short time: a collection takes milliseconds of
/// processor time, because the number of open files and threads of the process is read from `/proc`, one entry at a time.
/// </summary>
internal static class PrometheusEndpoint
{
    /// <summary>How long a text is served; the default of OpenTelemetry's Prometheus exporter.</summary>
    private static readonly TimeSpan _lifetime = TimeSpan.FromMilliseconds(300);

    public static IEndpointConventionBuilder Map(IEndpointRouteBuilder routes, CollectorRegistry registry, TimeProvider time)
    {
        var text = new SharedRead<byte[]>(() => CollectAsync(registry), _lifetime, time);
        return routes.MapMethods("/metrics", [HttpMethods.Get, HttpMethods.Head], async (HttpContext context) =>
        {
            byte[] body = await text.GetAsync(context.RequestAborted);
            context.Response.ContentType = PrometheusConstants.TextContentTypeWithVersionAndEncoding;
            context.Response.ContentLength = body.Length;
            if (HttpMethods.IsGet(context.Request.Method)) await context.Response.Body.WriteAsync(body, context.RequestAborted);
        });
    }

    private static async Task<byte[]> CollectAsync(CollectorRegistry registry)
    {
        using var text = new MemoryStream();
        await registry.CollectAndExportAsTextAsync(text, CancellationToken.None);
        return text.ToArray();
    }
}
