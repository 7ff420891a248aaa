using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Ndif.Protocol;
using Ndif.Server.Grpc;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;

namespace Ndif.Server.Monitoring;

/// <summary>
/// The public endpoints, which require no key: `/status` as JSON, the dashboard at `/`, and the health checks `/livez` (this process),
/// `/healthz` for load balancers (and the queue), and `/readyz` (and the workers).
/// </summary>
internal static class StatusEndpoints
{
    private static readonly AllowWithoutKeyAttribute _allowWithoutKey = new(), _probe = new() { IsProbe = true };

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet(
            "/status", async (ServiceStatusReader reader, ExceptionTranslator translator, HttpContext context) =>
        {
            context.Response.Headers.CacheControl = "no-store";
            try
            {
                byte[] json = await reader.ReadJsonAsync(context.RequestAborted);
                context.Response.ContentType = "application/json; charset=utf-8";
                context.Response.ContentLength = json.Length;
                await context.Response.Body.WriteAsync(json, context.RequestAborted);
            }
            catch (Exception failure) when (!context.RequestAborted.IsCancellationRequested)
            {
                await ErrorJson.WriteAsync(context.Response, translator.ToError(failure));
            }
        }).WithMetadata(_allowWithoutKey).RequireCors(CorsPolicies.AnyOrigin);

        routes.MapGet("/", Dashboard.WriteAsync).WithMetadata(_allowWithoutKey);
        // of this process: an orchestrator restarts it otherwise
        routes.MapHealthChecks("/livez", new HealthCheckOptions { Predicate = _ => false }).WithMetadata(_probe);
        // of the gateway: it reaches the queue, and can accept jobs
        routes.MapHealthChecks("/healthz", new HealthCheckOptions { Predicate = check => check.Name == QueueHealthCheck.Name })
            .WithMetadata(_probe);
        // of the service: a worker is alive too
        routes.MapHealthChecks("/readyz", new HealthCheckOptions { ResponseWriter = WriteHealthAsync }).WithMetadata(_probe);
    }

    /// <summary>Writes the state, and a sentence for each check that failed.</summary>
    private static Task WriteHealthAsync(HttpContext context, HealthReport report)
    {
        context.Response.ContentType = "text/plain; charset=utf-8";
        IEnumerable<string> reasons = report.Entries.Values.Select(entry => entry.Description ?? "").Where(text => text.Length > 0);
        return context.Response.WriteAsync(string.Join(' ', [$"{report.Status}.", .. reasons]), context.RequestAborted);
    }
}
