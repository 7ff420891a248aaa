using Ndif.Models.Loading;
using Ndif.Protocol;
using Ndif.Queue.Rules;
using Ndif.Worker.Residency;


namespace Ndif.Worker.Deployments;

/// <summary>A deployment as this worker sees it: what it would take, and whether it can be held here.</summary>
internal sealed class DesiredModel(Deployment deployment)
{
    private static readonly TimeSpan _maxRetryDelay = TimeSpan.FromMinutes(10);

    private int _failures;
    private DateTimeOffset _retryAt;
    private Error? _failure;

    public Deployment Deployment => deployment;

    public string Name { get; } = deployment.GetName();

    /// <summary>Null before it was weighed, or where that failed.</summary>
    public ModelFootprint? Footprint { get; set; }

    /// <summary>What jobs for it wait under.</summary>
    public IReadOnlyList<string> Names => Footprint is { } footprint ? ModelHost.GetNames(Name, footprint.Description) : [Name];

    /// <summary>An operator had it put away: it is not loaded again before a job waits for it, or it is deployed again.</summary>
    public bool EvictedByOperator { get; set; }

    /// <summary>As many others as are wanted hold it, as far as is known: its jobs are not this worker's business until the next heartbeat.</summary>
    public bool IsServedElsewhere { get; set; }

    /// <summary>Since when jobs wait and it could only be loaded in another's place; a worker with free room goes first.</summary>
    public DateTimeOffset? WaitingForCapacitySince { get; set; }

    /// <summary>It is too large for what this worker has, or for what pinned models leave of it.</summary>
    public Error? CapacityError { get; set; }

    /// <summary>Notes that it could not be weighed or loaded, and for how long that is not tried again: twice as long each time.</summary>
    public void RecordFailure(Error error, DateTimeOffset now, TimeSpan retryDelay)
    {
        TimeSpan wait = TimeSpan.FromTicks(Math.Min(_maxRetryDelay.Ticks, retryDelay.Ticks << Math.Min(_failures, 20)));
        _failures++;
        _retryAt = now + wait;
        _failure = error.Clone();
        _failure.RetryAfterSeconds = Math.Ceiling(wait.TotalSeconds);
    }

    /// <summary>It is here: what went wrong before does not count any more.</summary>
    public void ClearFailure() => (_failures, _failure) = (0, null);

    /// <summary>Why it cannot be held here now; null if it can.</summary>
    public Error? GetBlockingError(DateTimeOffset now) => now < _retryAt ? _failure ?? CapacityError : CapacityError;

    /// <summary>How it is announced where it is not loaded.</summary>
    public ModelStatus ToStatus(bool isLoading, DateTimeOffset now)
    {
        ModelDescription? footprint = Footprint?.Description;
        return new ModelStatus
        {
            Id = deployment.Model, Revision = deployment.Revision.Length > 0 ? deployment.Revision : footprint?.Revision ?? "", Heat = Heat.Cold,
            Architecture = footprint?.Architecture ?? "", Parameters = footprint?.Parameters ?? 0, Bytes = footprint?.Bytes ?? 0, Dtype = footprint?.Dtype ?? deployment.Dtype,
            Loading = isLoading ? 1u : 0, Error = isLoading ? null : GetBlockingError(now),
        };
    }
}
