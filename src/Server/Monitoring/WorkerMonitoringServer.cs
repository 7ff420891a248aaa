using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Prometheus;

namespace Ndif.Server.Monitoring;

/// <summary>
/// The HTTP server of a worker, which requires no key: `/metrics` for Prometheus, `/livez` (the process answers; also while Redis is
/// down, because a restart would not help), and `/readyz` (the preloaded models are loaded and the worker takes jobs; 503 otherwise).
/// </summary>
public static class WorkerMonitoringServer
{
    /// <summary>Starts the server. Dispose the result to stop it.</summary>
    /// <param name="host">An address of this machine, or "+" for all addresses.</param>
    /// <param name="isReady">Whether the worker takes jobs.</param>
    /// <param name="folders">The folders whose disks are reported, by their label.</param>
    /// <exception cref="IOException">The port is in use.</exception>
    public static async Task<IAsyncDisposable> StartAsync(string host, int port, Func<bool> isReady,
        IReadOnlyDictionary<string, string>? folders = null)
    {
        CollectorRegistry registry = Prometheus.Metrics.NewCustomRegistry();
        MetricFactory metrics = Prometheus.Metrics.WithCustomRegistry(registry);
        IDisposable meters = PrometheusExporter.StartListening(registry, metrics);
        if (folders is not null) _ = new DiskMetrics(registry, metrics, folders);
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "Ndif.Server" });
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.AddServerHeader = false).UseUrls($"http://{host}:{port}");
        builder.Services.AddRoutingCore();
        WebApplication app = builder.Build();
        PrometheusEndpoint.Map(app, registry, TimeProvider.System);
        app.MapGet("/livez", (HttpContext context) => context.Response.WriteAsync("Healthy"));
        app.MapGet("/readyz", (HttpContext context) =>
        {
            bool ready = isReady();
            if (!ready) context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            return context.Response.WriteAsync(ready ? "Healthy" : "Unhealthy");
        });
        await app.StartAsync();
        return new RunningServer(app, meters);
    }

    private sealed class RunningServer(WebApplication app, IDisposable meters) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await app.DisposeAsync();
            meters.Dispose();
        }
    }
}
