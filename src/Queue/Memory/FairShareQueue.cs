namespace Ndif.Queue.Memory;

/// <summary>
/// The waiting jobs of one model in the order of start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996):
/// 1. A job's start tag is the finish tag of its owner's previous job, but at least the virtual time of the model.
/// 2. The owner's finish tag becomes the start tag plus cost / weight.
/// 3. The job with the smallest start tag is dequeued first, and the virtual time advances to its tag.
/// An owner that submits many jobs therefore delays only its own jobs. Redis/Scripts/*.lua perform the same arithmetic in the same
/// order.
/// </summary>
internal sealed class FairShareQueue
{
    private readonly QueueEntryList _entries = new();
    private readonly Dictionary<string, SortedSet<QueueEntry>> _entriesByOwner = []; // in the same order
    private readonly Dictionary<string, double> _finishTags = []; // by owner, of its last job
    private double _virtualTime;

    public int Count => _entries.Count;

    /// <summary>Returns the first job that is not of one of these owners.</summary>
    public QueueEntry? FindFirst(IReadOnlyCollection<string> exceptOwners) => exceptOwners.Count == 0 ? _entries.First
        : _entriesByOwner.Where(own => !exceptOwners.Contains(own.Key)).Select(own => own.Value.Min).OfType<QueueEntry>()
            .Min(QueueEntry.ByStartTag);

    /// <summary>Returns the position of a job: 1 for the next job, 0 for a job that does not wait.</summary>
    public int GetPosition(QueueEntry entry) => _entries.GetPosition(entry);

    /// <summary>Adds a submitted job and charges its owner.</summary>
    public void Enqueue(QueueEntry entry)
    {
        entry.StartTag = Math.Max(_finishTags.GetValueOrDefault(entry.Owner), _virtualTime);
        _finishTags[entry.Owner] = entry.StartTag + entry.NormalizedCost;
        Insert(entry);
    }

    /// <summary>Adds a job that was leased before to the front of the queue. Its owner was already charged.</summary>
    public void EnqueueFront(QueueEntry entry)
    {
        entry.StartTag = double.NegativeInfinity;
        Insert(entry);
    }

    /// <summary>
    /// Adds a job that its worker has given back: it gets the place of its owner's next job, and the owner's later jobs move back, as the
    /// worker's time for it was service too.
    /// </summary>
    public void EnqueueInTurn(QueueEntry entry)
    {
        QueueEntry[] own = [.. _entriesByOwner.GetValueOrDefault(entry.Owner)?.Where(other => !other.WasLeased) ?? []];
        _finishTags[entry.Owner] = Math.Max(_finishTags.GetValueOrDefault(entry.Owner), _virtualTime);
        entry.StartTag = own.Length > 0 ? own[0].StartTag : _finishTags[entry.Owner];
        MoveTags(entry.Owner, own, entry.NormalizedCost);
        Insert(entry);
    }

    /// <summary>
    /// Removes a job, because it was leased, and advances the virtual time, not past the jobs of other owners that were passed over.
    /// </summary>
    public void Dequeue(QueueEntry leased)
    {
        Remove(leased);
        leased.WasLeased = true;
        _virtualTime = Math.Max(_virtualTime, Math.Min(leased.StartTag, _entries.First?.StartTag ?? leased.StartTag));
    }

    /// <summary>Removes a cancelled job and refunds its cost: the start tags of the owner's later jobs decrease by it.</summary>
    public void RemoveWaiting(QueueEntry entry)
    {
        if (entry.WasLeased)
        {
            Remove(entry); // it was leased before, so its cost is not refunded
            return;
        }
        QueueEntry[] later = [.. _entriesByOwner[entry.Owner].GetViewBetween(entry, QueueEntry.MaxValue).Skip(1)
            .Where(other => !other.WasLeased)];
        Remove(entry);
        MoveTags(entry.Owner, later, -entry.NormalizedCost);
    }

    /// <summary>Forgets all tags. Call it when no job of the model waits or runs: there is no contention to be fair about.</summary>
    public void Reset()
    {
        _finishTags.Clear();
        _virtualTime = 0;
    }

    private void MoveTags(string owner, IReadOnlyList<QueueEntry> entries, double by)
    {
        foreach (QueueEntry moved in entries)
        {
            Remove(moved);
            moved.StartTag += by;
            Insert(moved);
        }
        _finishTags[owner] += by;
    }

    private void Insert(QueueEntry entry)
    {
        _entries.Add(entry);
        if (!_entriesByOwner.TryGetValue(entry.Owner, out SortedSet<QueueEntry>? own))
            _entriesByOwner[entry.Owner] = own = new SortedSet<QueueEntry>(QueueEntry.ByStartTag);
        own.Add(entry);
    }

    private void Remove(QueueEntry entry)
    {
        _entries.Remove(entry);
        SortedSet<QueueEntry> own = _entriesByOwner[entry.Owner];
        own.Remove(entry);
        if (own.Count == 0) _entriesByOwner.Remove(entry.Owner);
    }
}
