using System.Diagnostics;

namespace Ndif.Queue;

/// <summary>
/// A worker's time-limited right to run a job. The token is a fencing token: a worker that lost the lease cannot publish.
/// </summary>
public sealed record Lease(
    string JobId, string Model, string Owner, ReadOnlyMemory<byte> Program, string Worker, long Token, int Attempt,
    DateTimeOffset Submitted, TimeSpan? TimeLimit)
{
    /// <summary>Cancelled as soon as this process learns that the job was cancelled or leased to another worker.</summary>
    public CancellationToken Lost { get; init; }

    /// <summary>The most bytes the job may send back; null for no limit.</summary>
    public long? MaxResultBytes { get; init; }

    /// <summary>The owner's share of service relative to other owners; usually 1.</summary>
    public double Weight { get; init; } = 1;

    /// <summary>The W3C trace parent of the submission, so that one distributed trace spans the client and the worker.</summary>
    public string? TraceParent { get; init; }

    /// <summary>The time from the submission to this lease, by the queue's clock.</summary>
    public TimeSpan TimeInQueue { get; init; }

    /// <summary>When the lease was granted, as a <see cref="Stopwatch"/> timestamp of this process.</summary>
    public long LeasedTimestamp { get; } = Stopwatch.GetTimestamp();
}
