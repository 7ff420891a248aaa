using System.CommandLine;
using Microsoft.Extensions.Logging;
using Ndif.Queue;
using Ndif.Server.Hosting;
using Ndif.Server.Monitoring;
using Ndif.Worker;
using Serilog.Extensions.Logging;

namespace Ndif.Cli.Commands;

/// <summary>`ndif worker`: holds models and runs jobs for a cluster.</summary>
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
        var id = new Option<string?>("--id") { Description = "Name of this worker. Default: machine name and process id." };
        var batch = new Option<int>("--max-batch") { Description = "How many jobs go through one pass at most.", DefaultValueFactory = _ => 8 };
        var chunk = new Option<int>("--prefill-chunk") { Description = "Longer prompts of generations run in chunks of so many tokens, where nobody looks inside; 0: whole." };
        var metrics = new Option<int>("--metrics-port") { Description = "Port of a page of metrics for Prometheus, /metrics; 0: none." };
        var metricsHost = new Option<string>("--metrics-host") { Description = "Where that page, which asks for no key, can be reached; + for every address of this machine.", DefaultValueFactory = _ => "localhost" };
        var memory = CommonOptions.Memory();
        var warm = CommonOptions.WarmMemory();
        var jobMemory = CommonOptions.JobMemory();
        var grace = CommonOptions.Grace();
        var residence = new Option<double>("--min-residence-seconds") { Description = "How long a model stays at least before it makes room for another.", DefaultValueFactory = _ => 10 };
        var onDemand = new Option<bool>("--on-demand") { Description = "Hold no model from the start that is not given with --model, only what is deployed." };
        var command = new Command("worker", "Hold models and run jobs for a cluster.")
        {
            model, onDemand, device, dtype, eightBit, memory, warm, jobMemory, residence, redis, data, prefix, lease, id, batch, chunk, grace, metrics, metricsHost, logJson,
        };
        config.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            string address = parsed.GetValue(redis) is { Length: > 0 } given ? given
                : throw new ArgumentException("A worker without a Redis gets no jobs: give --redis host:port, or run everything in one process with `ndif up`.");
            using var log = LoggingSetup.Create(new LogOptions { Json = parsed.GetValue(logJson) });
            using var logs = new SerilogLoggerFactory(log);
            using var observed = Observability.Start("ndif-worker");
            using IDisposable? page = parsed.GetValue(metrics) is > 0 and var port ? PrometheusExporter.StartServer(parsed.GetValue(metricsHost)!, port) : null;
            await using QueueBackend backend = CommonOptions.CreateQueueBackend(address, config.BindQueue(parsed, parsed.GetValue(prefix)!, parsed.GetValue(lease)), config.BindBlobs(parsed, parsed.GetValue(data)!), logs);
            var options = new WorkerOptions
            {
                Models = parsed.GetValue(onDemand) && parsed.GetResult(model) is not { Implicit: false } ? [] : parsed.GetValue(model)!,
                Memory = MemorySize.Parse("--memory", parsed.GetValue(memory)), WarmMemory = MemorySize.Parse("--warm-memory", parsed.GetValue(warm)) ?? 0, JobMemory = MemorySize.Parse("--job-memory", parsed.GetValue(jobMemory)),
                MinResidence = CommonOptions.ParseSeconds(parsed, residence), ShutdownGracePeriod = CommonOptions.ParseSeconds(parsed, grace),
                Device = parsed.GetValue(device)!, Dtype = parsed.GetValue(dtype)!, EightBit = parsed.GetValue(eightBit), MaxBatch = parsed.GetValue(batch), PrefillChunk = parsed.GetValue(chunk),
                LeaseRenewalInterval = TimeSpan.FromSeconds(parsed.GetValue(lease) / 3),
            };
            if (parsed.GetValue(id) is { } name) options = options with { Id = name };
            var worker = new ModelWorker(options, backend, logs.CreateLogger<ModelWorker>());
            Task run = worker.RunAsync(new LoadProgress(), cancellationToken);
            await worker.Ready;
            Console.WriteLine($"worker {options.Id} {string.Join(" ", options.Models)}".TrimEnd());
            await run;
            return 0;
        });
        return command;
    }
}
