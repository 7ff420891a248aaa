using Grpc.AspNetCore.Server;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.HostFiltering;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Ndif.Queue;
using Ndif.Server.Admission;
using Ndif.Server.Blobs;
using Ndif.Server.Deployments;
using Ndif.Server.Edits;
using Ndif.Server.Grpc;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Server.Monitoring;
using Ndif.Server.OpenAi;
using Ndif.Server.Scaling;
using Serilog;

namespace Ndif.Server;

/// <summary>
/// Builds the gateway as an ASP.NET Core application. `ndif up`, `ndif serve` and tests start and stop it. The request pipeline:
/// 1. <see cref="KestrelSetup"/>: endpoints, TLS and limits; <see cref="ConnectionLimiter"/>.
/// 2. <see cref="RequestLoggingMiddleware"/>: one log line and one measurement per request.
/// 3. Host filtering (only if keys are not required), routing, CORS and gRPC-Web.
/// 4. <see cref="MalformedRequestMiddleware"/>: typed errors for requests that gRPC cannot read.
/// 5. <see cref="ApiKeyMiddleware"/>: authentication and scopes; before it, the port of the scaler (<see cref="ScalerSetup"/>).
/// 6. <see cref="RequestLimitMiddleware"/>: how many requests are open, and what those of a key, and those without one, may cost.
/// 7. The endpoint: <see cref="ErrorInterceptor"/> and a gRPC service (<see cref="InferenceService"/>, <see cref="AdminService"/>), or an
///    HTTP endpoint (blobs, OpenAI's API, status, dashboard, metrics).
/// </summary>
public static class GatewayHost
{
    private const int KeylessMessageBytes = 64 << 10;

    /// <summary>
    /// Builds a gateway; start it with StartAsync or RunAsync. It reads no configuration files and no environment variables.
    /// </summary>
    /// <param name="backend">The queue, blobs and workers. The caller disposes it after the gateway has stopped.</param>
    /// <param name="keys">The store of the API keys.</param>
    /// <param name="log">The logger; null for none. The caller disposes it.</param>
    /// <exception cref="OptionsException">An option is out of bounds or unsafe.</exception>
    public static WebApplication Build(
        GatewayOptions options, QueueBackend backend, IKeyStore keys, Serilog.ILogger? log = null, TimeProvider? time = null)
    {
        options.Validate();
        ServerCertificate? certificate = options.HasTls ? new ServerCertificate(options) : null;
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "Ndif.Server" });
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration()
            .ConfigureKestrel(kestrel =>
            {
                KestrelSetup.Configure(kestrel, options, certificate, new ConnectionLimiter());
                ScalerSetup.Listen(kestrel, options);
            });
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = options.ShutdownTime);
        if (log is not null) builder.Services.AddSerilog(log);
        if (certificate is not null) builder.Services.AddSingleton(certificate).AddHostedService<CertificateReloadService>();
        AddGateway(builder.Services, options, backend, keys, time ?? backend.Clock);

        WebApplication app = builder.Build();
        UseGateway(app, options);
        app.Lifetime.ApplicationStarted.Register(() => LogStarted(app, options));
        return app;
    }

    /// <summary>Returns the addresses of a started gateway, with the actual ports if the options left them to the system.</summary>
    /// <exception cref="InvalidOperationException">The gateway has not started.</exception>
    public static GatewayAddress GetAddress(WebApplication gateway) => GetAddress(gateway.Services.GetRequiredService<IServer>());

    internal static GatewayAddress GetAddress(IServer server)
    {
        string[] bound = [.. server.Features.Get<IServerAddressesFeature>()?.Addresses ?? []];
        if (bound.Length == 0) throw new InvalidOperationException("The gateway has no address before it has started.");
        var grpc = new Uri(bound[0]); // in the order of KestrelSetup; the port of the scaler is the last
        return new GatewayAddress(grpc, grpc.Scheme == Uri.UriSchemeHttps ? grpc : new Uri(bound[1]));
    }

    /// <summary>Returns the limit on the size of a message of the call.</summary>
    internal static int GetMaxMessageBytes(HttpContext context, GatewayOptions options) =>
        context.Request.Path.StartsWithSegments("/ndif.v1.Inference") || context.Request.Path.StartsWithSegments("/ndif.v1.Admin")
            ? options.MessageBytes : KeylessMessageBytes;

    private static void AddGateway(
        IServiceCollection services, GatewayOptions options, QueueBackend backend, IKeyStore keys, TimeProvider time)
    {
        services.AddSingleton(options).AddSingleton(time).AddSingleton(backend);
        services.AddSingleton(backend.Jobs).AddSingleton(backend.Blobs).AddSingleton(backend.Workers).AddSingleton(backend.Deployments)
            .AddSingleton(backend.Edits);
        services.AddSingleton(new KeyService(keys, time));
        services.AddSingleton<ExceptionTranslator>().AddSingleton<ServedModelCatalog>().AddSingleton<JobAdmissionService>();
        services.AddSingleton<WorkerLimits>().AddSingleton<JobAuthorizer>().AddSingleton<JobDeletionService>();
        services.AddSingleton<ServiceNotices>();
        services.AddSingleton<RunStreamTracker>().AddHostedService(provider => provider.GetRequiredService<RunStreamTracker>());
        services.AddSingleton<UploadLimiter>().AddSingleton<BlobTransfer>().AddSingleton<ServiceStatusReader>();
        services.AddSingleton<DeploymentAdminService>().AddSingleton<MetricsEndpoint>();
        services.AddSingleton<OpenRequestLimiter>().AddSingleton<RefusalLimiter>().AddSingleton(_ => new DecodingLimiter(options));
        services.AddSingleton<RequestLogLimiter>().AddSingleton<KeylessRequestLimiter>();
        services.AddSingleton<QueueHealthCheck>().AddSingleton<WorkersHealthCheck>(); // one of each: they keep their last result
        ScalerSetup.AddServices(services);
        OpenAiEndpoints.AddServices(services);
        services.AddSingleton<PublishedEditsService>().AddHostedService<PublishedEditsRenewalService>();
        services.AddSingleton<InferenceService>().AddSingleton<AdminService>();
        services.AddSingleton<StreamDrainer>().AddHostedService(provider => provider.GetRequiredService<StreamDrainer>());
        services.AddSingleton<QueuePositionSubscriptions>().AddHostedService<QueuePositionNotifier>();
        services.AddHostedService<ExpiredLeaseCleanupService>().AddHostedService<ExpiredBlobCleanupService>();
        services.AddHostedService<RevokedKeyCleanupService>().AddHostedService<StoredBytesCleanupService>();
        services.AddCors(CorsPolicies.Configure);
        services.AddGrpc(grpc =>
        {
            grpc.MaxReceiveMessageSize = KeylessMessageBytes; // of health checks and reflection, which need no key
            grpc.MaxSendMessageSize = null;
            grpc.EnableDetailedErrors = false;
            grpc.Interceptors.Add<ErrorInterceptor>();
        });
        services.Configure<GrpcServiceOptions<InferenceService>>(grpc => grpc.MaxReceiveMessageSize = options.MessageBytes);
        services.Configure<GrpcServiceOptions<AdminService>>(grpc => grpc.MaxReceiveMessageSize = options.MessageBytes);
        services.AddGrpcReflection();
        services.AddGrpcHealthChecks(health =>
        {
            health.Services.Map("", check => check.Name == QueueHealthCheck.Name);
            health.Services.Map("ndif.v1.Inference", check => check.Name == QueueHealthCheck.Name);
        }).AddCheck<QueueHealthCheck>(QueueHealthCheck.Name).AddCheck<WorkersHealthCheck>("workers");
        if (options.AllowAnonymous) // protects against DNS rebinding: a web page could point its host name at 127.0.0.1
            services.Configure<HostFilteringOptions>(filter => filter.AllowedHosts = ["localhost", "127.0.0.1", "[::1]"]);
    }

    private static void UseGateway(WebApplication app, GatewayOptions options)
    {
        app.UseMiddleware<RequestLoggingMiddleware>();
        if (options.AllowAnonymous) app.UseHostFiltering();
        app.UseRouting();
        app.UseCors();
        app.UseGrpcWeb(new GrpcWebOptions { DefaultEnabled = true });
        app.UseMiddleware<MalformedRequestMiddleware>();
        ScalerSetup.Use(app, options);
        app.UseMiddleware<ApiKeyMiddleware>();
        app.UseMiddleware<RequestLimitMiddleware>();

        IEndpointConventionBuilder[] keyed = [app.MapGrpcService<InferenceService>(), app.MapGrpcService<AdminService>()];
        if (!options.AllowAnonymous) foreach (IEndpointConventionBuilder service in keyed) service.RequireCors(CorsPolicies.AnyOrigin);
        app.MapGrpcHealthChecksService().WithMetadata(new AllowWithoutKeyAttribute { IsProbe = true });
        app.MapGrpcReflectionService().WithMetadata(new AllowWithoutKeyAttribute());
        BlobEndpoints.Map(app);
        OpenAiEndpoints.Map(app, options);
        StatusEndpoints.Map(app);
        app.Services.GetRequiredService<MetricsEndpoint>().Map(app);
    }

    private static void LogStarted(WebApplication app, GatewayOptions options)
    {
        ILogger<GatewayOptions> logger = app.Services.GetRequiredService<ILogger<GatewayOptions>>();
        GatewayAddress address = GetAddress(app);
        logger.Listening(address.Grpc, address.Http);
        if (!options.IsLoopback && !options.HasTls) logger.NoTls(options.Host);
        if (options.AllowAnonymous) logger.Anonymous();
        app.Services.GetService<ServerCertificate>()?.ReportValidity(logger);
    }
}
