using System.CommandLine;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Hosting;
using Ndif.Queue;
using Ndif.Server;
using Ndif.Server.Hosting;
using Serilog.Extensions.Logging;

namespace Ndif.Cli.Commands;

/// <summary>`ndif serve`: runs a gateway of a cluster.</summary>
internal static class ServeCommand
{
    public static Command Create()
    {
        var gateway = new GatewayArguments();
        var config = new ServiceConfiguration();
        var redis = CommonOptions.Redis();
        var data = CommonOptions.Data();
        var prefix = CommonOptions.Prefix();
        var lease = CommonOptions.Lease();
        var logJson = CommonOptions.LogJson();
        var command = new Command("serve", "Run a gateway of a cluster. Workers are separate processes that share its Redis.")
        {
            redis, data, prefix, lease, logJson,
        };
        gateway.AddTo(command);
        config.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            string address = CommonOptions.GetRedis(parsed, redis) is { Length: > 0 } given ? given
                : throw new ArgumentException(
                    "A gateway needs Redis to reach its workers: use --redis host:port, or run everything in one process with `ndif up`.");
            using var log = LoggingSetup.Create(new LogOptions { Json = parsed.GetValue(logJson) });
            using var logs = new SerilogLoggerFactory(log);
            using var observability = Observability.Start("ndif-gateway");
            await using QueueBackend backend = BackendFactory.CreateQueueBackend(
                address, config.BindQueue(parsed, parsed.GetValue(prefix)!, parsed.GetValue(lease)),
                config.BindBlobs(parsed, parsed.GetValue(data)!), logs);
            GatewayOptions options = config.BindGateway(parsed, gateway.GetExplicitValues(parsed));
            await RedisStartCheck.RunAsync(address, parsed.GetValue(prefix)!, options.TotalQueueBytes, logs, cancellationToken);
            await using WebApplication app = GatewayHost.Build(
                options, backend, BackendFactory.CreateKeyStore(backend, parsed.GetValue(data)!, parsed.GetValue(prefix)!), log);
            await app.StartAsync(cancellationToken);
            GatewayAddress bound = GatewayHost.GetAddress(app);
            string ready = $"gateway {bound.Grpc} {bound.Http}";
            if (parsed.GetValue(logJson)) JsonLog.Write(Console.Out, ready);
            else Console.WriteLine(ready);
            await app.WaitForShutdownAsync(cancellationToken);
            return 0;
        });
        return command;
    }
}
