using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Ndif.Protocol;

namespace Ndif.Server;

/// <summary>What anyone may see without a key: `/status` as JSON, the dashboard at `/`, and `/healthz` for load balancers.</summary>
internal static class StatusEndpoints
{
    private static readonly OpenToAllAttribute Open = new();

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/status", async (StatusBoard board, Failures failures, TimeProvider time, HttpContext context) =>
        {
            context.Response.Headers.CacheControl = "no-store";
            try
            {
                StatusJson status = StatusJson.Of(await board.ReadAsync(context.RequestAborted), time.GetUtcNow());
                await context.Response.WriteAsJsonAsync(status, StatusJsonContext.Default.StatusJson);
            }
            catch (Exception failure) when (!context.RequestAborted.IsCancellationRequested)
            {
                await ErrorJson.WriteAsync(context.Response, failures.ErrorOf(failure));
            }
        }).WithMetadata(Open).RequireCors(Cors.Anyone);

        routes.MapGet("/", Dashboard.WriteAsync).WithMetadata(Open);
        routes.MapHealthChecks("/healthz").WithMetadata(Open);
    }
}
