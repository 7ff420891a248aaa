using System.CommandLine;
using Google.Protobuf;
using Ndif.Protocol;
using Spectre.Console;

namespace Ndif.Cli.Commands;

/// <summary>`ndif status`: shows the status of the service.</summary>
internal static class StatusCommand
{
    public static Command Create()
    {
        var host = CommonOptions.Host();
        var key = CommonOptions.Key();
        var json = CommonOptions.Json("The status");
        var command = new Command("status", "Show the models, workers and queue of the service.") { host, key, json };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            Backend service = BackendFactory.GetRemoteBackend(parsed.GetValue(host), parsed.GetValue(key));
            ServiceStatus status = await Status.GetAsync(service, cancellationToken);
            if (parsed.GetValue(json))
            {
                Console.WriteLine(new JsonFormatter(JsonFormatter.Settings.Default.WithFormatDefaultValues(true)).Format(status));
                return 0;
            }
            Console.WriteLine(
                $"NDIF {status.Version}, up since {status.Started.ToDateTimeOffset():yyyy-MM-dd HH:mm} UTC: "
                + $"{status.Waiting} waiting, {status.Running} running, {status.Completed} completed, {status.Failed} failed "
                + $"({status.TimedOut} of them timed out), {status.Cancelled} cancelled");
            if (status.Storage is { } storage) Console.WriteLine(UsageCommand.FormatStorage(storage));
            foreach (string problem in status.Problems) Console.WriteLine($"Problem: {problem}");
            ModelsCommand.PrintTable(status.Models);
            var workers = new Table().AddColumns("worker", "device", "models", "jobs", "memory", "weights", "state");
            foreach (WorkerStatus worker in status.Workers)
            {
                string models = string.Join(", ", worker.Models.Concat(worker.Warm.Select(model => $"{model} (warm)")));
                string weights = worker.BudgetBytes > 0
                    ? $"{worker.WeightBytes / 1e6:0} of {worker.BudgetBytes / 1e6:0} MB"
                    : $"{worker.WeightBytes / 1e6:0} MB";
                workers.AddRow(new[]
                {
                    worker.Id, worker.Device, models, $"{worker.Jobs.Count}", $"{worker.MemoryBytes / 1e6:0} MB", weights,
                    worker.Draining ? "draining" : "ready",
                }.Select(Markup.Escape).ToArray());
            }
            AnsiConsole.Write(workers);
            return 0;
        });
        return command;
    }
}
