using System.CommandLine;
using Microsoft.AspNetCore.Builder;
using Ndif.Cli.Supervision;
using Ndif.Queue;
using Ndif.Server;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Workbench;
using Ndif.Worker;

namespace Ndif.Cli.Commands;

/// <summary>`ndif up`: runs a complete service in one process.</summary>
internal static class UpCommand
{
    public static Command Create()
    {
        var model = CommonOptions.Model();
        var device = CommonOptions.Device();
        var dtype = CommonOptions.Dtype();
        var eightBit = CommonOptions.EightBit();
        var gateway = new GatewayArguments();
        var config = new ServiceConfiguration();
        var redis = CommonOptions.Redis();
        var data = CommonOptions.Data();
        var prefix = CommonOptions.Prefix();
        var logJson = CommonOptions.LogJson();
        var memory = CommonOptions.Memory();
        var warm = CommonOptions.WarmMemory();
        var jobMemory = CommonOptions.JobMemory();
        var allJobsMemory = CommonOptions.AllJobsMemory();
        var cacheMemory = CommonOptions.CacheMemory();
        var reuseMemory = CommonOptions.ReuseMemory();
        var grace = CommonOptions.Grace();
        var unresponsive = CommonOptions.Unresponsive();
        var noRestart = CommonOptions.NoRestart();
        var workbenchPort = new Option<int?>("--workbench-port")
        {
            Description = $"Port of the workbench, on 127.0.0.1. Default: {WorkbenchCommand.DefaultPort}, or a free one if that is used.",
        };
        var command = new Command("up", "Run a complete service in this process: gateway, queue (in memory or Redis) and worker.")
        {
            model, device, dtype, eightBit, memory, warm, jobMemory, allJobsMemory, cacheMemory, reuseMemory, redis, data, prefix,
            grace, unresponsive, noRestart, workbenchPort, logJson,
        };
        gateway.AddTo(command);
        config.AddTo(command);
        command.SetAction(async (parsed, stopping) =>
        {
            if (await Supervisor.RunAsync(noRestart, logJson, parsed, stopping) is { } exitCode) return exitCode;
            using CancellationTokenSource stop = SupervisedProcess.StopWithSupervisor(stopping);
            CancellationToken cancellationToken = stop.Token;
            using var log = LoggingSetup.Create(new LogOptions { Json = parsed.GetValue(logJson) });
            using var observability = Observability.Start("ndif");
            string folder = parsed.GetValue(data)!;
            string? address = CommonOptions.GetRedis(parsed, redis);
            QueueBackend backend = BackendFactory.CreateQueueBackend(
                address, config.BindQueue(parsed, parsed.GetValue(prefix)!, CommonOptions.DefaultLeaseSeconds),
                config.BindBlobs(parsed, folder));
            IKeyStore keys = BackendFactory.CreateKeyStore(backend, folder, parsed.GetValue(prefix)!);
            GatewayOptions options = config.BindGateway(parsed, gateway.GetExplicitValues(parsed));
            var workerOptions = new WorkerOptions
            {
                Models = parsed.GetValue(model)!,
                Device = parsed.GetValue(device)!,
                Dtype = parsed.GetValue(dtype)!,
                EightBit = parsed.GetValue(eightBit),
                Memory = MemorySize.Parse("--memory", parsed.GetValue(memory)),
                WarmMemory = MemorySize.Parse("--warm-memory", parsed.GetValue(warm)) ?? 0,
                JobMemory = MemorySize.Parse("--job-memory", parsed.GetValue(jobMemory)),
                AllJobsMemory = MemorySize.Parse("--all-jobs-memory", parsed.GetValue(allJobsMemory)),
                CacheMemory = MemorySize.Parse("--cache-memory", parsed.GetValue(cacheMemory)),
                ReuseMemory = MemorySize.Parse("--reuse-memory", parsed.GetValue(reuseMemory)) ?? 0,
                ShutdownGracePeriod = CommonOptions.ParseSeconds(parsed, grace),
                UnresponsiveTimeout = CommonOptions.ParseSeconds(parsed, unresponsive),
            };
            await using LocalService service =
                await LocalService.StartAsync(options, workerOptions, backend, keys, log, cancellationToken, parsed.GetValue(logJson),
                    endProcess: () => SupervisedProcess.EndUnresponsive(observability, log), onDrain: SupervisedProcess.ReportDrain);
            SupervisedProcess.ReportServing();
            await using WebApplication workbench =
                await WorkbenchCommand.StartAsync(service.Address.Grpc.ToString(), parsed.GetValue(workbenchPort), cancellationToken);
            await PrintStartedAsync(service, WorkbenchHost.GetAddress(workbench), options.AllowAnonymous, DescribeStore(),
                parsed.GetValue(logJson), cancellationToken);
            await Task.WhenAny(service.Worker, Task.Delay(Timeout.Infinite, cancellationToken));
            if (service.Worker.IsFaulted) await service.Worker;
            return 0;

            // the switches that `ndif keys` needs to find the same keys without a key; an address of Redis may hold a password
            string DescribeStore() => (address is { Length: > 0 } ? " --redis ..." : $" --data {Path.GetFullPath(folder)}")
                + (parsed.GetResult(prefix) is { Implicit: false } ? $" --prefix {parsed.GetValue(prefix)}" : "");
        });
        return command;
    }

    private static async Task PrintStartedAsync(
        LocalService service, Uri workbench, bool anonymous, string store, bool isJson, CancellationToken cancellationToken)
    {
        Print("");
        Print($"NDIF is up. Dashboard: {service.Address.Http}");
        Print($"  Workbench: {workbench}");
        Print($"  export NDIF_HOST={service.Address.Grpc.ToString().TrimEnd('/')}");
        Print($"  export OPENAI_BASE_URL={service.Address.Http}v1      (for OpenAI's clients, with the same key)");
        if (!anonymous)
        {
            if ((await service.Keys.ListAsync(cancellationToken)).Any(key => key.Revoked is null))
            {
                Print($"  export NDIF_API_KEY=...      (a key exists; create another one with `ndif keys create NAME{store}`)");
            }
            else
            {
                CreatedKey key = await service.Keys.CreateAsync("first", [Scopes.Run, Scopes.Admin], cancellationToken: cancellationToken);
                Print($"  export NDIF_API_KEY={key.Key.Reveal()}      (shown only once)");
            }
        }
        Print("Press Ctrl-C to stop.");
        Print("");

        void Print(string line)
        {
            if (!isJson) Console.WriteLine(line);
            else if (line.Length > 0) JsonLog.Write(Console.Out, line.Trim());
        }
    }
}
