using System.Text.Json.Serialization;
using Ndif.Protocol;

namespace Ndif.Server.Monitoring;

/// <summary>
/// `GET /status`: <see cref="ServiceStatus"/> as JSON. The names are public API: add, never rename. Times are ISO 8601 in UTC, bytes
/// are bytes, `heat` is hot, warm, cold, or none for a model that is deployed, or that jobs wait for, while no living worker knows it; `wanted` is 0 for one
/// that nobody deployed and a worker was started with; `error` says why no worker can hold it.
/// </summary>
/// <param name="UptimeSeconds">Of this gateway.</param>
/// <param name="Queue">Over all models and gateways.</param>
public sealed record StatusJson(
    string Version, DateTimeOffset Started, double UptimeSeconds, QueueJson Queue, IReadOnlyList<ModelJson> Models,
    IReadOnlyList<WorkerJson> Workers)
{
    public static StatusJson Of(ServiceStatus status, DateTimeOffset now) => new(
        status.Version, status.Started.ToDateTimeOffset(), Math.Round((now - status.Started.ToDateTimeOffset()).TotalSeconds, 1),
        new QueueJson(status.Waiting, status.Running, status.Completed, status.Failed),
        [.. status.Models.Select(ModelJson.Of)], [.. status.Workers.Select(WorkerJson.Of)]);
}

/// <summary>Jobs that wait and run now, and that have ended since the queue exists.</summary>
public sealed record QueueJson(uint Waiting, uint Running, ulong Completed, ulong Failed);

public sealed record ModelJson(
    string Id, string Revision, string Architecture, string Heat, string Dtype, ulong Parameters, ulong Bytes, uint Replicas, uint Waiting,
    uint Running, bool Pinned, uint Wanted, uint Loading, string Error)
{
    public static ModelJson Of(ModelStatus model) => new(
        model.Id, model.Revision, model.Architecture, ServiceStatusReader.IsServed(model) ? ToLowerName(model.Heat) : "none", ToLowerName(model.Dtype), model.Parameters, model.Bytes, model.Replicas,
        model.Waiting, model.Running, model.Pinned, model.Wanted, model.Loading, model.Error?.Message ?? "");

    private static string ToLowerName<T>(T value) where T : struct, Enum => Convert.ToInt32(value) == 0 ? "" : value.ToString().ToLowerInvariant();
}

/// <param name="Running">How many jobs it runs.</param>
/// <param name="BudgetBytes">For weights on its device; 0: no bound.</param>
/// <param name="WeightBytes">Of the models that it holds there.</param>
/// <param name="Warm">Models that it keeps in memory beside the device.</param>
/// <param name="Draining">It takes nothing new, and leaves when what runs has ended.</param>
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
