using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Ndif.Server.Keys;

namespace Ndif.Server.Scaling;

/// <summary>Adds the external scaler to a gateway whose options set <see cref="GatewayOptions.ScalerPort"/>.</summary>
internal static class ScalerSetup
{
    /// <summary>Listens last, so that the addresses of the gateway keep their order. Without TLS: KEDA is in the same cluster.</summary>
    public static void Listen(KestrelServerOptions kestrel, GatewayOptions options)
    {
        if (options.ScalerPort == 0) return;
        if (options.Address is { } address) kestrel.Listen(address, options.ScalerPort, ConfigureEndpoint);
        else kestrel.ListenAnyIP(options.ScalerPort, ConfigureEndpoint);
    }

    public static void AddServices(IServiceCollection services) =>
        services.AddSingleton<WorkerDemand>().AddSingleton<ExternalScalerService>();

    /// <summary>Call after UseRouting, and before keys are checked.</summary>
    public static void Use(WebApplication app, GatewayOptions options)
    {
        if (options.ScalerPort == 0) return;
        app.UseMiddleware<ScalerPortMiddleware>();
        app.MapGrpcService<ExternalScalerService>()
            .WithMetadata(new AllowWithoutKeyAttribute { IsProbe = true }, new ScalerEndpointAttribute());
    }

    private static void ConfigureEndpoint(ListenOptions endpoint) => endpoint.Protocols = HttpProtocols.Http2;
}
