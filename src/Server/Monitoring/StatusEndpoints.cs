using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Ndif.Protocol;
using Ndif.Server.Grpc;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;

namespace Ndif.Server.Monitoring;

/// <summary>
/// The public endpoints, which require no key: `/status` as JSON, the dashboard at `/`, `/healthz` for load balancers, and `/livez`, which
/// checks nothing but this process.
/// </summary>
internal static class StatusEndpoints
{
    private static readonly AllowWithoutKeyAttribute _allowWithoutKey = new();

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet(
            "/status", async (ServiceStatusReader reader, ExceptionTranslator translator, TimeProvider time, HttpContext context) =>
        {
            context.Response.Headers.CacheControl = "no-store";
            try
            {
                StatusJson status = StatusJson.Of(await reader.ReadAsync(context.RequestAborted), time.GetUtcNow());
                await context.Response.WriteAsJsonAsync(status, StatusJsonContext.Default.StatusJson);
            }
            catch (Exception failure) when (!context.RequestAborted.IsCancellationRequested)
            {
                await ErrorJson.WriteAsync(context.Response, translator.ToError(failure));
            }
        }).WithMetadata(_allowWithoutKey).RequireCors(CorsPolicies.AnyOrigin);

        routes.MapGet("/", Dashboard.WriteAsync).WithMetadata(_allowWithoutKey);
        routes.MapHealthChecks("/healthz").WithMetadata(_allowWithoutKey);
        // for liveness probes: a restart of the gateway does not help if the queue cannot be reached
        routes.MapHealthChecks("/livez", new HealthCheckOptions { Predicate = _ => false }).WithMetadata(_allowWithoutKey);
    }
}
