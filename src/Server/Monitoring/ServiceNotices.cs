using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server.Monitoring;

/// <summary>
/// Says why jobs wait for long: no worker is alive, or none serves their model. The users read it in the QUEUED event of their jobs,
/// operators in `/status`. Empty texts mean that there is nothing to say.
/// </summary>
internal sealed class ServiceNotices(IWorkerRegistry workers, IJobQueue jobs, TimeProvider time)
{
    private static readonly TimeSpan _cacheDuration = TimeSpan.FromMilliseconds(200);

    private Reading? _last; // many submissions in a row read it once

    /// <summary>Returns the notice for a job of this model that is queued now. Workers that cannot be read give no notice.</summary>
    public async Task<string> GetAsync(string model, CancellationToken cancellationToken)
    {
        try
        {
            return GetNotice(await ReadAsync(cancellationToken), model);
        }
        catch (NdifException)
        {
            return "";
        }
    }

    /// <summary>Returns the notices for all models that jobs wait for, by the names under which they are queued.</summary>
    public async Task<IReadOnlyDictionary<string, string>> GetAllAsync(CancellationToken cancellationToken)
    {
        QueueCounts counts = await jobs.CountAsync(cancellationToken);
        Reading reading = await ReadAsync(cancellationToken);
        return counts.ByModel.Where(model => model.Value.Waiting > 0)
            .ToDictionary(model => model.Key, model => GetNotice(reading, model.Key), StringComparer.Ordinal);
    }

    /// <summary>Returns what operators should look at.</summary>
    public static IEnumerable<string> GetProblems(ServiceStatus status)
    {
        if (!HasWorkers(status)) yield return "No worker is alive: jobs wait until one starts.";
        else
            foreach (ModelStatus model in status.Models.Where(model => model.Waiting > 0 && !ServiceStatusReader.IsServed(model)))
                yield return $"{model.Waiting} jobs wait for `{model.Id}`, and no worker serves it.";
        if (IsAlmostFull(status.Storage.QueueBytes, status.Storage.QueueBytesLimit))
            yield return "The jobs of all keys take more than nine tenths of Gateway:TotalQueueBytes; new ones are soon refused.";
        if (IsAlmostFull(status.Storage.BlobBytes, status.Storage.BlobBytesLimit))
            yield return "Results and uploads take more than nine tenths of Gateway:TotalBlobBytes; new ones are soon refused.";
    }

    /// <summary>The number of waiting jobs of a model for which no live worker is there.</summary>
    public static uint CountWithoutWorker(ServiceStatus status, ModelStatus model) =>
        HasWorkers(status) && ServiceStatusReader.IsServed(model) ? 0 : model.Waiting;

    private static string GetNotice(Reading reading, string name)
    {
        if (!reading.Workers.Any(worker => !worker.Draining)) return "No worker is alive. The job waits until an operator starts one.";
        bool isServed = reading.Models.Any(model => ModelNames.GetNames(model.Id, model.Revision).Contains(name, StringComparer.Ordinal));
        return isServed ? "" : $"No worker serves `{name}`. The job waits until an operator deploys it.";
    }

    private async Task<Reading> ReadAsync(CancellationToken cancellationToken)
    {
        if (Volatile.Read(ref _last) is { } last && time.GetElapsedTime(last.Timestamp) < _cacheDuration) return last;
        long started = time.GetTimestamp();
        var reading = new Reading(
            await workers.ListWorkersAsync(cancellationToken), await workers.ListModelsAsync(cancellationToken), started);
        Volatile.Write(ref _last, reading);
        return reading;
    }

    private static bool IsAlmostFull(ulong bytes, ulong limit) => bytes > 0.9 * limit;

    private static bool HasWorkers(ServiceStatus status) => status.Workers.Any(worker => !worker.Draining);

    private sealed record Reading(IReadOnlyList<WorkerStatus> Workers, IReadOnlyList<ModelStatus> Models, long Timestamp);
}
