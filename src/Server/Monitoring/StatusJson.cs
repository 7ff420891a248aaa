using System.Text.Json.Serialization;
using Ndif.Protocol;

namespace Ndif.Server.Monitoring;

/// <summary>
/// The response of `GET /status`: <see cref="ServiceStatus"/> as JSON. The property names are public API: add properties, never rename
/// them. Times are ISO 8601 in UTC, sizes are in bytes.
/// </summary>
/// <param name="UptimeSeconds">The uptime of this gateway.</param>
/// <param name="Queue">The jobs of all models and gateways.</param>
/// <param name="Storage">What all keys store.</param>
/// <param name="Problems">What operators should look at: no worker is alive, or jobs wait for a model that no worker serves.</param>
public sealed record StatusJson(
    string Version, DateTimeOffset Started, double UptimeSeconds, QueueJson Queue, IReadOnlyList<ModelJson> Models,
    IReadOnlyList<WorkerJson> Workers, IReadOnlyList<string> Problems, StorageJson Storage)
{
    public static StatusJson Of(ServiceStatus status, DateTimeOffset now) => new(
        status.Version, status.Started.ToDateTimeOffset(), Math.Round((now - status.Started.ToDateTimeOffset()).TotalSeconds, 1),
        new QueueJson(status.Waiting, status.Running, status.Completed, status.Failed, status.Cancelled, status.TimedOut),
        [.. status.Models.Select(ModelJson.Of)], [.. status.Workers.Select(WorkerJson.Of)], [.. status.Problems],
        new StorageJson(
            status.Storage.QueueBytes, status.Storage.QueueBytesLimit, status.Storage.BlobBytes, status.Storage.BlobBytesLimit));
}

/// <summary>The number of waiting and running jobs, and of the jobs that have ended since the queue was created.</summary>
/// <param name="TimedOut">The failed jobs that ran too long.</param>
public sealed record QueueJson(uint Waiting, uint Running, ulong Completed, ulong Failed, ulong Cancelled, ulong TimedOut);

/// <summary>The bytes of jobs in the queue and of results and uploads as blobs, of all keys, and their limits.</summary>
public sealed record StorageJson(ulong QueueBytes, ulong QueueBytesLimit, ulong BlobBytes, ulong BlobBytesLimit);

/// <summary>A model that is deployed, served or waited for.</summary>
/// <param name="Heat">
/// hot (on the device), warm (offloaded to host memory), cold (on disk), or none if no live worker reports the model.
/// </param>
/// <param name="Wanted">The number of replicas of the deployment; 0 for a model that is only preloaded by a worker.</param>
/// <param name="Error">The reason why no worker can load the model; empty if there is none.</param>
/// <param name="Task">What the model gives for its input; empty if it is not known.</param>
public sealed record ModelJson(
    string Id, string Revision, string Architecture, string Heat, string Dtype, ulong Parameters, ulong Bytes, uint Replicas, uint Waiting,
    uint Running, bool Pinned, uint Wanted, uint Loading, string Error, string Task)
{
    public static ModelJson Of(ModelStatus model) => new(
        model.Id, model.Revision, model.Architecture, ServiceStatusReader.IsServed(model) ? ToLowerName(model.Heat) : "none",
        ToLowerName(model.Dtype), model.Parameters, model.Bytes, model.Replicas, model.Waiting, model.Running, model.Pinned, model.Wanted,
        model.Loading, ServerPaths.Remove(model.Error?.Message ?? ""), model.Architecture.Length == 0 ? "" : model.Task.ToName());

    private static string ToLowerName<T>(T value) where T : struct, Enum =>
        Convert.ToInt32(value) == 0 ? "" : value.ToString().ToLowerInvariant();
}

/// <summary>A live worker.</summary>
/// <param name="Running">The number of jobs that the worker runs.</param>
/// <param name="BudgetBytes">The memory budget for weights on the device; 0 if it is unlimited.</param>
/// <param name="WeightBytes">The bytes of weights on the device.</param>
/// <param name="Warm">The models that are offloaded to host memory.</param>
/// <param name="Draining">True if the worker accepts no new jobs and exits when its running jobs have ended.</param>
public sealed record WorkerJson(
    string Id, string Device, ulong MemoryBytes, IReadOnlyList<string> Models, int Running, DateTimeOffset? Started, DateTimeOffset? Seen,
    string Version, ulong BudgetBytes, ulong WeightBytes, IReadOnlyList<string> Warm, bool Draining)
{
    public static WorkerJson Of(WorkerStatus worker) => new(
        worker.Id, worker.Device, worker.MemoryBytes, [.. worker.Models], worker.Jobs.Count, worker.Started?.ToDateTimeOffset(),
        worker.Seen?.ToDateTimeOffset(), worker.Version, worker.BudgetBytes, worker.WeightBytes, [.. worker.Warm], worker.Draining);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(StatusJson))]
internal sealed partial class StatusJsonContext : JsonSerializerContext;
