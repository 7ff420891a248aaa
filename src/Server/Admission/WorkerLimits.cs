using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Keys;

namespace Ndif.Server.Admission;

/// <summary>
/// The limits of a caller: those of the gateway, or of its workers where theirs are smaller, because any of them may run the job. The
/// reports of the workers are cached for a second.
/// </summary>
internal sealed class WorkerLimits(GatewayOptions options, IWorkerRegistry workers, TimeProvider time)
{
    private static readonly TimeSpan _cacheDuration = TimeSpan.FromSeconds(1);

    private Reading? _last;

    public async Task<ProgramLimits> GetAsync(Caller caller, CancellationToken cancellationToken)
    {
        ProgramLimits limits = options.GetLimits(caller.Tier);
        foreach (WorkerStatus worker in (await ReadAsync(cancellationToken)).Where(worker => !worker.Draining))
        {
            if (worker.WallSeconds > 0) limits.WallSeconds = Math.Min(limits.WallSeconds, worker.WallSeconds);
            limits.JobMemoryBytes = GetSmaller(limits.JobMemoryBytes, worker.JobMemoryBytes);
            limits.CacheMemoryBytes = GetSmaller(limits.CacheMemoryBytes, worker.CacheMemoryBytes);
        }
        return limits;
    }

    /// <summary>Returns the smaller limit; 0 is none.</summary>
    private static ulong GetSmaller(ulong one, ulong other) => one == 0 ? other : other == 0 ? one : Math.Min(one, other);

    private async Task<IReadOnlyList<WorkerStatus>> ReadAsync(CancellationToken cancellationToken)
    {
        if (Volatile.Read(ref _last) is { } last && time.GetElapsedTime(last.Timestamp) < _cacheDuration) return last.Workers;
        long started = time.GetTimestamp();
        try
        {
            var reading = new Reading(await workers.ListWorkersAsync(cancellationToken), started);
            Volatile.Write(ref _last, reading);
            return reading.Workers;
        }
        catch (NdifException) // the limits of the gateway are known while Redis cannot be reached
        {
            return Volatile.Read(ref _last)?.Workers ?? [];
        }
    }

    private sealed record Reading(IReadOnlyList<WorkerStatus> Workers, long Timestamp);
}
