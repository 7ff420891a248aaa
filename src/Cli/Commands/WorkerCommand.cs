using System.CommandLine;
using Microsoft.Extensions.Logging;
using Ndif.Cli.Supervision;
using Ndif.Models.Files;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server.Hosting;
using Ndif.Server.Monitoring;
using Ndif.Worker;
using Serilog.Extensions.Logging;

namespace Ndif.Cli.Commands;

/// <summary>`ndif worker`: runs a worker of a cluster, which holds models and runs jobs.</summary>
internal static class WorkerCommand
{
    public static Command Create()
    {
        var model = CommonOptions.Model();
        var device = CommonOptions.Device();
        var dtype = CommonOptions.Dtype();
        var eightBit = CommonOptions.EightBit();
        var redis = CommonOptions.Redis();
        var data = CommonOptions.Data();
        var prefix = CommonOptions.Prefix();
        var lease = CommonOptions.Lease();
        var config = new ServiceConfiguration();
        var logJson = CommonOptions.LogJson();
        var id = new Option<string?>("--id") { Description = "Unique id of this worker. Default: machine name and process id." };
        var batch = new Option<int>("--max-batch")
        {
            Description = "Maximum number of jobs that run on a model at a time.", DefaultValueFactory = _ => 16,
        };
        var chunk = new Option<int>("--prefill-chunk")
        {
            Description = "Split longer prompts of generations into chunks of this many tokens, if no program hooks the model. "
                + "Default: 0, no chunks.",
        };
        var metrics = new Option<int>("--metrics-port")
        {
            Description = "Port of /metrics for Prometheus, and of /livez and /readyz. Default: 0, none.",
        };
        var metricsHost = new Option<string>("--metrics-host")
        {
            Description = "Address of --metrics-port, which requires no key; + for all addresses of this machine.",
            DefaultValueFactory = _ => "localhost",
        };
        var memory = CommonOptions.Memory();
        var warm = CommonOptions.WarmMemory();
        var jobMemory = CommonOptions.JobMemory();
        var allJobsMemory = CommonOptions.AllJobsMemory();
        var cacheMemory = CommonOptions.CacheMemory();
        var reuseMemory = CommonOptions.ReuseMemory();
        var grace = CommonOptions.Grace();
        var unresponsive = CommonOptions.Unresponsive();
        var noRestart = CommonOptions.NoRestart();
        var residence = new Option<double>("--min-residence-seconds")
        {
            Description = "Minimum time that a model stays loaded before it can be evicted for another.",
            DefaultValueFactory = _ => 10,
        };
        var wall = new Option<double?>("--wall-seconds")
        {
            Description = "Maximum run time of a job on this worker, if it is less than the gateway's. "
                + "Default: the gateway's (Gateway:WallTime).",
        };
        var onDemand = new Option<bool>("--on-demand")
        {
            Description = "Do not preload the default model; load only deployed models and those of --model.",
        };
        var command = new Command("worker", "Run a worker of a cluster, which holds models and runs jobs.")
        {
            model, onDemand, device, dtype, eightBit, memory, warm, jobMemory, allJobsMemory, cacheMemory, reuseMemory, residence, redis,
            data, prefix, lease, id, batch, chunk, grace, wall, unresponsive, noRestart, metrics, metricsHost, logJson,
        };
        config.AddTo(command);
        command.SetAction(async (parsed, stopping) =>
        {
            if (await Supervisor.RunAsync(noRestart, logJson, parsed, stopping) is { } exitCode) return exitCode;
            using CancellationTokenSource stop = SupervisedProcess.StopWithSupervisor(stopping);
            CancellationToken cancellationToken = stop.Token;
            string address = CommonOptions.GetRedis(parsed, redis) is { Length: > 0 } given ? given
                : throw new ArgumentException(
                    "A worker needs Redis to get jobs: use --redis host:port, or run everything in one process with `ndif up`.");
            BlobOptions blobs = config.BindBlobs(parsed, parsed.GetValue(data)!);
            using var log = LoggingSetup.Create(new LogOptions { Json = parsed.GetValue(logJson) });
            using var logs = new SerilogLoggerFactory(log);
            using var observability = Observability.Start("ndif-worker");
            Task loaded = Task.Delay(Timeout.Infinite, CancellationToken.None); // until there is a worker
            await using IAsyncDisposable? monitoring = parsed.GetValue(metrics) is > 0 and var port
                ? await WorkerMonitoringServer.StartAsync(
                    parsed.GetValue(metricsHost)!, port,
                    () => loaded.IsCompletedSuccessfully && !cancellationToken.IsCancellationRequested,
                    new Dictionary<string, string> { ["models"] = HubCache.Root, ["blobs"] = blobs.Root })
                : null;
            await using QueueBackend backend = BackendFactory.CreateQueueBackend(
                address, config.BindQueue(parsed, parsed.GetValue(prefix)!, parsed.GetValue(lease)),
                blobs, logs);
            var options = new WorkerOptions
            {
                Models = parsed.GetValue(onDemand) && parsed.GetResult(model) is not { Implicit: false } ? [] : parsed.GetValue(model)!,
                Device = parsed.GetValue(device)!,
                Dtype = parsed.GetValue(dtype)!,
                EightBit = parsed.GetValue(eightBit),
                Memory = MemorySize.Parse("--memory", parsed.GetValue(memory)),
                WarmMemory = MemorySize.Parse("--warm-memory", parsed.GetValue(warm)) ?? 0,
                JobMemory = MemorySize.Parse("--job-memory", parsed.GetValue(jobMemory)),
                AllJobsMemory = MemorySize.Parse("--all-jobs-memory", parsed.GetValue(allJobsMemory)),
                CacheMemory = MemorySize.Parse("--cache-memory", parsed.GetValue(cacheMemory)),
                ReuseMemory = MemorySize.Parse("--reuse-memory", parsed.GetValue(reuseMemory)) ?? 0,
                MinResidence = CommonOptions.ParseSeconds(parsed, residence),
                ShutdownGracePeriod = CommonOptions.ParseSeconds(parsed, grace),
                UnresponsiveTimeout = CommonOptions.ParseSeconds(parsed, unresponsive),
                MaxBatch = parsed.GetValue(batch),
                PrefillChunk = parsed.GetValue(chunk),
                LeaseRenewalInterval = TimeSpan.FromSeconds(parsed.GetValue(lease) / 3),
            };
            if (parsed.GetValue(wall) is { } seconds)
                options = options with
                {
                    WallTime = seconds is > 0 and <= 604_800 ? TimeSpan.FromSeconds(seconds)
                        : throw new ArgumentException("--wall-seconds must be more than 0 and at most 604800 (7 days)."),
                };
            if (parsed.GetValue(id) is { } name) options = options with { Id = name };
            var worker = new ModelWorker(
                options, backend, logs.CreateLogger<ModelWorker>(),
                endProcess: () => SupervisedProcess.EndUnresponsive(observability, log), onDrain: SupervisedProcess.ReportDrain);
            await RedisStartCheck.RunAsync(address, parsed.GetValue(prefix)!, null, logs, cancellationToken);
            loaded = worker.Ready;
            Task run = worker.RunAsync(new LoadProgress(parsed.GetValue(logJson)), cancellationToken);
            await worker.Ready;
            SupervisedProcess.ReportServing();
            string ready = $"worker {options.Id} {string.Join(" ", options.Models)}".TrimEnd();
            if (parsed.GetValue(logJson)) JsonLog.Write(Console.Out, ready);
            else Console.WriteLine(ready);
            await run;
            return 0;
        });
        return command;
    }
}
