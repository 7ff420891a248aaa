using System.ComponentModel.DataAnnotations;

namespace Ndif.Queue;

/// <summary>How long things last in the queue. The same values belong in every process of a deployment.</summary>
public sealed record QueueOptions
{
    /// <summary>
    /// How long a worker keeps a job without renewing it. Shorter finds a dead worker sooner, longer forgives a longer pause of a
    /// living one; renew at a third of it. Default 30 s.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00.050", "1.00:00:00")]
    public TimeSpan LeaseDuration { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How many workers may be lost with a job before the job is failed as WORKER_LOST and kept as a dead letter. Default 3.</summary>
    [Range(1, 100)]
    public int MaxAttempts { get; init; } = 3;

    /// <summary>How long a job and its events can be asked for after its end. Default 24 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "365.00:00:00")]
    public TimeSpan Retention { get; init; } = TimeSpan.FromHours(24);

    /// <summary>How often those who wait look anyway, in case a wake-up was lost, and reap expired leases. Default 2 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:10:00")]
    public TimeSpan SafetyPoll { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long a worker is shown as living after its last heartbeat. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.050", "01:00:00")]
    public TimeSpan HeartbeatLifetime { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>What every Redis key and channel begins with; deployments that share a Redis differ in it. Default "ndif:".</summary>
    [Required, RegularExpression(@"[\x21-\x7e]{1,64}")]
    public string Prefix { get; init; } = "ndif:";

    /// <summary>These options, or an <see cref="NdifException"/> that names what is out of bounds.</summary>
    public QueueOptions Validate() => OptionsValidator.Validate(this, nameof(QueueOptions));
}
