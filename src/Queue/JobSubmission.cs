using Ndif.Queue.Rules;

namespace Ndif.Queue;

/// <summary>A job as it is submitted to the queue.</summary>
/// <param name="JobId">Chosen by the client or the gateway, see <see cref="QueueJobIds"/>.</param>
/// <param name="Owner">The id of the API key. Fair share is computed per owner.</param>
/// <param name="Model">The model's id; with a revision "id@revision".</param>
/// <param name="Program">The serialized <see cref="Protocol.Program"/>.</param>
/// <param name="Weight">The owner's share of service relative to other owners; usually 1.</param>
/// <param name="Cost">The estimated work, in any unit that is the same for all jobs. It advances the owner's virtual time.</param>
/// <param name="TimeLimit">The longest time the job may run; null for the worker's limit.</param>
/// <param name="Quota">The limits on the owner's use of the queue; null for no limits.</param>
/// <param name="MaxResultBytes">The most bytes the job may send back; the worker enforces it. Null for no limit.</param>
public sealed record JobSubmission(
    string JobId, string Owner, string Model, ReadOnlyMemory<byte> Program, double Weight = 1, double Cost = 1, TimeSpan? TimeLimit = null,
    Quota? Quota = null, long? MaxResultBytes = null)
{
    /// <summary>Why the job may have to wait for long, for its QUEUED event: no worker serves its model. Empty for nothing.</summary>
    public string Notice { get; init; } = "";

    /// <summary>The limits on the bytes that the owner stores; null for none. They are checked again when the job stores more.</summary>
    public StorageLimits? Storage { get; init; }
}
