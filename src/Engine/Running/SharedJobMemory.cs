using Ndif.Engine.Scheduling;

namespace Ndif.Engine.Running;

/// <summary>
/// The memory that the values of all jobs of a worker may use together, for a job. It may hold two thirds of what its owner may hold and
/// its owner's other jobs leave (<see cref="OwnerMemory"/>): one alone gets half of the memory, and something is always left for another
/// job of the owner, and for other owners.
/// </summary>
internal sealed class SharedJobMemory(OwnerMemory memory, string owner)
{
    public long Total => memory.Total;

    public long Used => memory.Used;

    public long UsedByOwner => memory.UsedBy(owner);

    /// <summary>The bytes that one job may hold while no other holds any.</summary>
    public long MostAlone => memory.Total / 2;

    /// <summary>The bytes that its owner has to be able to take for the most that the job has needed in vain; 0 if it got all.</summary>
    public double OwnerShortage { get; private set; }

    /// <summary>Counts bytes that the job takes, or with a negative number frees.</summary>
    public void Add(long bytes) => memory.Add(owner, bytes);

    /// <summary>The bytes that the job may still take.</summary>
    /// <param name="held">The bytes that it holds.</param>
    public double FreeFor(long held) => (2 * memory.FreeFor(owner) - held) / 3;

    /// <summary>Notes that the job needs more bytes at a time than it may hold now.</summary>
    public void OnShortage(double bytes) => OwnerShortage = Math.Max(OwnerShortage, Math.Min(1.5 * bytes, memory.MostOfOwner));
}
