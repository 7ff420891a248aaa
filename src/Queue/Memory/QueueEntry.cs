namespace Ndif.Queue.Memory;

/// <summary>A waiting job in the fair-share queue of its model.</summary>
/// <param name="number">The sequence number of the submission; it orders entries with equal tags.</param>
/// <param name="normalizedCost">The cost of the job divided by the weight of its owner.</param>
internal sealed class QueueEntry(string jobId, string owner, long number, double normalizedCost)
{
    public static readonly IComparer<QueueEntry> ByStartTag = Comparer<QueueEntry>.Create(
        (a, b) => a.StartTag != b.StartTag ? a.StartTag.CompareTo(b.StartTag) : a.Number.CompareTo(b.Number));

    /// <summary>Sorts after every other entry.</summary>
    public static readonly QueueEntry MaxValue = new("", "", long.MaxValue, 0) { StartTag = double.PositiveInfinity };

    public string JobId => jobId;

    public string Owner => owner;

    public long Number => number;

    public double NormalizedCost => normalizedCost;

    /// <summary>The start tag in virtual time. Do not change it while the entry is in a list.</summary>
    public double StartTag { get; set; }

    /// <summary>True if the job was leased before: its owner was charged, and a cancel refunds nothing.</summary>
    public bool WasLeased { get; set; }
}
