using Ndif.Models.Loading;
using Ndif.Protocol;
using Ndif.Worker.Residency;

namespace Ndif.Worker.Deployments;

/// <summary>A deployment and its state on this worker: its footprint, whether it can be loaded, and why not.</summary>
internal sealed class DesiredModel(Deployment deployment)
{
    private static readonly TimeSpan _maxRetryDelay = TimeSpan.FromMinutes(10);

    private int _failures;
    private DateTimeOffset _retryAt;
    private Error? _failure;

    public Deployment Deployment => deployment;

    /// <summary>"id" or "id@revision".</summary>
    public string Name { get; } = deployment.GetName();

    /// <summary>The memory that the model needs; null if it has not been measured or could not be measured.</summary>
    public ModelFootprint? Footprint { get; set; }

    /// <summary>The names under which jobs for the model are queued.</summary>
    public IReadOnlyList<string> Names => Footprint is { } footprint ? ModelHost.GetNames(Name, footprint.Description) : [Name];

    /// <summary>
    /// True if an operator evicted the model from this worker. It is loaded again when a job waits for it or it is redeployed.
    /// </summary>
    public bool EvictedByOperator { get; set; }

    /// <summary>
    /// True if other workers hold all replicas that are wanted. This worker then ignores new jobs of the model until its next heartbeat.
    /// </summary>
    public bool IsServedElsewhere { get; set; }

    /// <summary>
    /// Since when the model could be loaded only by evicting another. The worker waits a moment, so that one with free memory can load
    /// it first.
    /// </summary>
    public DateTimeOffset? WaitingForCapacitySince { get; set; }

    /// <summary>The error if the model is too large for this worker, or for the memory that pinned models leave.</summary>
    public Error? CapacityError { get; set; }

    /// <summary>
    /// Records that the model could not be measured or loaded. The delay until the next attempt doubles with each failure.
    /// </summary>
    public void RecordFailure(Error error, DateTimeOffset now, TimeSpan retryDelay)
    {
        TimeSpan wait = TimeSpan.FromTicks(Math.Min(_maxRetryDelay.Ticks, retryDelay.Ticks << Math.Min(_failures, 20)));
        _failures++;
        _retryAt = now + wait;
        _failure = error.Clone();
        _failure.RetryAfterSeconds = Math.Ceiling(wait.TotalSeconds);
    }

    /// <summary>Forgets earlier failures, because the model was loaded.</summary>
    public void ClearFailure() => (_failures, _failure) = (0, null);

    /// <summary>Returns the reason why the model cannot be loaded now, or null.</summary>
    public Error? GetBlockingError(DateTimeOffset now) => now < _retryAt ? _failure ?? CapacityError : CapacityError;

    /// <summary>Returns the status that the worker reports while the model is not loaded.</summary>
    public ModelStatus ToStatus(bool isLoading, DateTimeOffset now)
    {
        ModelDescription? description = Footprint?.Description;
        return new ModelStatus
        {
            Id = deployment.Model,
            Revision = deployment.Revision.Length > 0 ? deployment.Revision : description?.Revision ?? "",
            Heat = Heat.Cold,
            Architecture = description?.Architecture ?? "",
            Task = description?.Task ?? ModelTask.CausalLm,
            Parameters = description?.Parameters ?? 0,
            Bytes = description?.Bytes ?? 0,
            Dtype = description?.Dtype ?? deployment.Dtype,
            Loading = isLoading ? 1u : 0,
            Error = isLoading ? null : GetBlockingError(now),
        };
    }
}
