using System.CommandLine;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Hosting;
using Ndif.Server.Hosting;
using Ndif.Workbench;
using Serilog.Events;
using Serilog.Extensions.Logging;

namespace Ndif.Cli.Commands;

/// <summary>`ndif workbench`: serves a web page on which experiments are run by hand.</summary>
internal static class WorkbenchCommand
{
    /// <summary>The port of the workbench where none is given.</summary>
    public const int DefaultPort = 5082;

    public static Command Create()
    {
        var host = CommonOptions.Host();
        var key = CommonOptions.Key();
        var listen = new Option<string>("--listen")
        {
            Description = "Address to listen on. On an address that is not loopback, --key and NDIF_API_KEY are not used: "
                + "each user enters a key on the page.",
            DefaultValueFactory = _ => "127.0.0.1",
        };
        var port = new Option<int>("--port")
        {
            Description = "Port of the page; 0 for a free one.", DefaultValueFactory = _ => DefaultPort,
        };
        var command = new Command("workbench", "Serve a web page for experiments by hand: lens, attention, patching, steering, jobs.")
        {
            host, key, listen, port,
        };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            IPAddress address = IPAddress.TryParse(parsed.GetValue(listen), out IPAddress? parsedAddress) ? parsedAddress
                : throw new ArgumentException($"--listen {parsed.GetValue(listen)} is not an IP address, such as 127.0.0.1 or 0.0.0.0.");
            using var log = LoggingSetup.Create(new LogOptions { Level = LogEventLevel.Warning });
            using var logs = new SerilogLoggerFactory(log);
            await using WebApplication app = WorkbenchHost.Build(new WorkbenchOptions
            {
                Address = address, Port = parsed.GetValue(port), Gateway = parsed.GetValue(host) ?? NdifConfig.Host.ToString(),
                ApiKey = parsed.GetValue(key) ?? NdifConfig.ApiKey,
            }, logs);
            await app.StartAsync(cancellationToken);
            Console.WriteLine($"workbench {WorkbenchHost.GetAddress(app)}");
            if (!IPAddress.IsLoopback(address))
                Console.Error.WriteLine(
                    "warning: keys that users enter are sent to this address without TLS; see docs/operating/workbench.md");
            await app.WaitForShutdownAsync(cancellationToken);
            return 0;
        });
        return command;
    }

    /// <summary>Starts the workbench of a service in this process, on a loopback address.</summary>
    /// <param name="port">The port; null for the default one, or a free one if that is in use.</param>
    /// <exception cref="IOException">The port is in use.</exception>
    public static async Task<WebApplication> StartAsync(string gateway, int? port, CancellationToken cancellationToken)
    {
        try
        {
            return await StartAsync(port ?? DefaultPort);
        }
        catch (IOException) when (port is null)
        {
            return await StartAsync(0);
        }

        async Task<WebApplication> StartAsync(int at)
        {
            WebApplication app = WorkbenchHost.Build(new WorkbenchOptions { Port = at, Gateway = gateway });
            try
            {
                await app.StartAsync(cancellationToken);
                return app;
            }
            catch
            {
                await app.DisposeAsync();
                throw;
            }
        }
    }
}
