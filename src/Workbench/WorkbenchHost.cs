using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.HostFiltering;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Ndif.Workbench.Assets;
using Ndif.Workbench.Components;
using Ndif.Workbench.Hosting;
using Ndif.Workbench.Sessions;

namespace Ndif.Workbench;

/// <summary>
/// Builds the workbench as an ASP.NET Core application: Blazor components that run in this process and use a service through the client.
/// The browser needs no other server, and the page loads nothing from elsewhere.
/// </summary>
public static class WorkbenchHost
{
    /// <summary>The longest message of a browser: a long prompt, and what Blazor adds to it.</summary>
    internal const int MaxBrowserMessageBytes = 4 << 20;

    private static readonly TimeSpan _shutdownTimeout = TimeSpan.FromSeconds(2);

    /// <summary>Builds the workbench; start it with StartAsync or RunAsync.</summary>
    /// <param name="logs">Receives warnings and errors, never a key or a prompt; null for none.</param>
    /// <exception cref="ArgumentException">The address of the gateway is not an address.</exception>
    public static WebApplication Build(WorkbenchOptions options, ILoggerFactory? logs = null)
    {
        _ = Backend.At(options.Gateway);
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "Ndif.Workbench" });
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Listen(options.Address, options.Port);
        });
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = _shutdownTimeout);
        builder.Services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Warning));
        if (logs is not null) builder.Services.AddSingleton(logs);
        builder.Services.AddRoutingCore().AddSingleton(options).AddSingleton(TimeProvider.System).AddSingleton<SessionStore>();
        builder.Services.AddDataProtection().UseEphemeralDataProtectionProvider(); // nothing is written to disk
        builder.Services.AddRazorComponents().AddInteractiveServerComponents();
        builder.Services.Configure<HubOptions>(hub => hub.MaximumReceiveMessageSize = MaxBrowserMessageBytes);
        if (options.IsLoopback) // protects against DNS rebinding: a web page could point its host name at 127.0.0.1
            builder.Services.Configure<HostFilteringOptions>(filter => filter.AllowedHosts = ["localhost", "127.0.0.1", "[::1]"]);

        WebApplication app = builder.Build();
        if (options.IsLoopback) app.UseHostFiltering();
        app.UseMiddleware<BrowserSecurityMiddleware>();
        app.UseMiddleware<SessionMiddleware>();
        app.UseRouting();
        app.UseAntiforgery();
        EmbeddedAssets.Map(app);
        // BrowserSecurityMiddleware sets the policy of frames
        app.MapRazorComponents<App>().AddInteractiveServerRenderMode(server => server.ContentSecurityFrameAncestorsPolicy = null);
        return app;
    }

    /// <summary>Returns the address of a started workbench, with the actual port if the options left it to the system.</summary>
    /// <exception cref="InvalidOperationException">The workbench has not started.</exception>
    public static Uri GetAddress(WebApplication workbench) =>
        workbench.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() is { } bound
            ? new Uri(bound)
            : throw new InvalidOperationException("The workbench has no address before it has started.");
}
