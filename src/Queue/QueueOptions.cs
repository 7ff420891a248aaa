using System.ComponentModel.DataAnnotations;

namespace Ndif.Queue;

/// <summary>Timeouts and lifetimes of the queue. Use the same values in every process of a cluster.</summary>
public sealed record QueueOptions
{
    /// <summary>
    /// How long a lease lasts without renewal. A shorter lease detects a dead worker sooner; a longer lease tolerates longer pauses of a
    /// live worker. Workers renew at a third of it. Default 30 s.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00.050", "1.00:00:00")]
    public TimeSpan LeaseDuration { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The number of lost leases after which a job fails as WORKER_LOST and becomes a dead letter. Default 3.</summary>
    [Range(1, 100)]
    public int MaxAttempts { get; init; } = 3;

    /// <summary>How long a job and its events are kept after its end. Default 24 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "365.00:00:00")]
    public TimeSpan Retention { get; init; } = TimeSpan.FromHours(24);

    /// <summary>How often waiting callers poll, in case a wake-up message was lost, and reap expired leases. Default 2 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:10:00")]
    public TimeSpan PollInterval { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long a worker counts as alive after its last heartbeat. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.050", "01:00:00")]
    public TimeSpan HeartbeatLifetime { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The prefix of every Redis key and channel. Clusters that share a Redis need different prefixes. Default "ndif:".</summary>
    [Required, RegularExpression(@"[\x21-\x7e]{1,64}")]
    public string Prefix { get; init; } = "ndif:";

    /// <summary>Returns these options. Throws an <see cref="NdifException"/> that names each option out of bounds.</summary>
    public QueueOptions Validate() => OptionsValidator.Validate(this, nameof(QueueOptions));
}
