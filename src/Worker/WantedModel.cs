using Ndif.Models;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker;

/// <summary>A deployment as this worker sees it: what it would take, and whether it can be held here.</summary>
internal sealed class WantedModel(Deployment deployment)
{
    private static readonly TimeSpan s_longestPause = TimeSpan.FromMinutes(10);

    private int _failures;
    private DateTimeOffset _retryAt;
    private Error? _failure;

    public Deployment Deployment => deployment;

    public string Name { get; } = DeploymentRules.NameOf(deployment);

    /// <summary>Null before it was weighed, or where that failed.</summary>
    public WeighedModel? Weighed { get; set; }

    /// <summary>What jobs for it wait under.</summary>
    public IReadOnlyList<string> Names => Weighed is { } known ? ModelHost.NamesOf(Name, known.Description) : [Name];

    /// <summary>An operator had it put away: it is not loaded again before a job waits for it, or it is deployed again.</summary>
    public bool IsPutAway { get; set; }

    /// <summary>As many others as are wanted hold it, as far as is known: its jobs are not this worker's business until the next heartbeat.</summary>
    public bool IsHeldElsewhere { get; set; }

    /// <summary>Since when jobs wait and it could only be loaded in another's place; a worker with free room goes first.</summary>
    public DateTimeOffset? TightSince { get; set; }

    /// <summary>It is too large for what this worker has, or for what pinned models leave of it.</summary>
    public Error? Misfit { get; set; }

    /// <summary>Notes that it could not be weighed or loaded, and for how long that is not tried again: twice as long each time.</summary>
    public void Failed(Error error, DateTimeOffset now, TimeSpan pause)
    {
        TimeSpan wait = TimeSpan.FromTicks(Math.Min(s_longestPause.Ticks, pause.Ticks << Math.Min(_failures, 20)));
        _failures++;
        _retryAt = now + wait;
        _failure = error.Clone();
        _failure.RetryAfterSeconds = Math.Ceiling(wait.TotalSeconds);
    }

    /// <summary>It is here: what went wrong before does not count any more.</summary>
    public void Succeeded() => (_failures, _failure) = (0, null);

    /// <summary>Why it cannot be held here now; null if it can.</summary>
    public Error? Obstacle(DateTimeOffset now) => now < _retryAt ? _failure ?? Misfit : Misfit;

    /// <summary>How it is announced where it is not loaded.</summary>
    public ModelStatus Status(bool isComing, DateTimeOffset now)
    {
        ModelDescription? known = Weighed?.Description;
        return new ModelStatus
        {
            Id = deployment.Model, Revision = deployment.Revision.Length > 0 ? deployment.Revision : known?.Revision ?? "", Heat = Heat.Cold,
            Architecture = known?.Architecture ?? "", Parameters = known?.Parameters ?? 0, Bytes = known?.Bytes ?? 0, Dtype = known?.Dtype ?? deployment.Dtype,
            Loading = isComing ? 1u : 0, Error = isComing ? null : Obstacle(now),
        };
    }
}
