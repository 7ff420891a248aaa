namespace Ndif.Queue.Memory;

/// <summary>
/// One model's waiting line in the order of start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996). Each job has a tag in
/// virtual time: where its owner's last job ends, but not before the model's clock; the owner's next job comes cost/weight later.
/// The smallest tag goes first and sets the clock. So an owner who floods the line only delays his own jobs.
/// Redis/Scripts/*.lua do the same arithmetic in the same order.
/// </summary>
internal sealed class FairShareQueue
{
    private readonly QueueEntryList _entries = new();
    private readonly Dictionary<string, SortedSet<QueueEntry>> _entriesByOwner = []; // each owner's part of the line, in the same order
    private readonly Dictionary<string, double> _finishTags = []; // where each owner's last job ends
    private double _virtualTime;

    public int Count => _entries.Count;

    public QueueEntry? First => _entries.First;

    /// <summary>1 for the job that is next; 0 for one that does not wait.</summary>
    public int GetPosition(QueueEntry entry) => _entries.GetPosition(entry);

    public void Enqueue(QueueEntry entry)
    {
        entry.StartTag = Math.Max(_finishTags.GetValueOrDefault(entry.Owner), _virtualTime);
        _finishTags[entry.Owner] = entry.StartTag + entry.NormalizedCost;
        Insert(entry);
    }

    /// <summary>Before everybody who has not been served yet. Its owner has been charged already.</summary>
    public void EnqueueFront(QueueEntry entry)
    {
        entry.StartTag = double.NegativeInfinity;
        Insert(entry);
    }

    public void Dequeue(QueueEntry first)
    {
        Remove(first);
        _virtualTime = Math.Max(_virtualTime, first.StartTag);
    }

    /// <summary>As if it had never been there: the owner's later jobs move up by what it would have cost.</summary>
    public void RemoveWaiting(QueueEntry entry)
    {
        QueueEntry[] later = double.IsNegativeInfinity(entry.StartTag) ? [] : [.. _entriesByOwner[entry.Owner].GetViewBetween(entry, QueueEntry.MaxValue).Skip(1)];
        Remove(entry);
        if (double.IsNegativeInfinity(entry.StartTag)) return;
        foreach (QueueEntry moved in later)
        {
            Remove(moved);
            moved.StartTag -= entry.NormalizedCost;
            Insert(moved);
        }
        _finishTags[entry.Owner] -= entry.NormalizedCost;
    }

    /// <summary>With nobody waiting and nobody served, nobody is owed anything.</summary>
    public void Reset()
    {
        _finishTags.Clear();
        _virtualTime = 0;
    }

    private void Insert(QueueEntry entry)
    {
        _entries.Add(entry);
        if (!_entriesByOwner.TryGetValue(entry.Owner, out SortedSet<QueueEntry>? own)) _entriesByOwner[entry.Owner] = own = new SortedSet<QueueEntry>(QueueEntry.ByStartTag);
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

/// <summary>
/// Tickets by tag, then by number, in runs of some hundreds: what is moved or counted grows with the root of their number (benchmark
/// `service.flatness, in memory`; a plain list of 10,000 took a thousand times as long for a cancel as one of 10).
/// </summary>
internal sealed class QueueEntryList
{
    private const int MaxRunLength = 512;
    private readonly List<List<QueueEntry>> _runs = []; // none of them empty

    public int Count { get; private set; }

    public QueueEntry? First => _runs.Count > 0 ? _runs[0][0] : null;

    public void Add(QueueEntry entry)
    {
        Count++;
        if (_runs.Count == 0)
        {
            _runs.Add([entry]);
            return;
        }
        int runIndex = Math.Min(FindRun(entry), _runs.Count - 1);
        List<QueueEntry> run = _runs[runIndex];
        run.Insert(~run.BinarySearch(entry, QueueEntry.ByStartTag), entry);
        if (run.Count <= MaxRunLength) return;
        _runs.Insert(runIndex + 1, run[(MaxRunLength / 2)..]);
        run.RemoveRange(MaxRunLength / 2, run.Count - (MaxRunLength / 2));
    }

    public void Remove(QueueEntry entry)
    {
        int runIndex = FindRun(entry);
        List<QueueEntry> run = _runs[runIndex];
        run.RemoveAt(run.BinarySearch(entry, QueueEntry.ByStartTag));
        if (run.Count == 0) _runs.RemoveAt(runIndex);
        Count--;
    }

    /// <summary>Counted from 1; 0 for a ticket that is not here.</summary>
    public int GetPosition(QueueEntry entry)
    {
        int runIndex = FindRun(entry), before = 0;
        if (runIndex == _runs.Count || _runs[runIndex].BinarySearch(entry, QueueEntry.ByStartTag) is not (>= 0 and var at)) return 0;
        for (int i = 0; i < runIndex; i++) before += _runs[i].Count;
        return before + at + 1;
    }

    /// <summary>The first run whose last ticket is not before this one; their number, if it is behind all.</summary>
    private int FindRun(QueueEntry entry)
    {
        int low = 0, high = _runs.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (QueueEntry.ByStartTag.Compare(_runs[middle][^1], entry) < 0) low = middle + 1;
            else high = middle;
        }
        return low;
    }
}

/// <summary>A job's place in a line.</summary>
/// <param name="number">Counts submissions; decides between equal tags.</param>
/// <param name="normalizedCost">Cost divided by weight.</param>
internal sealed class QueueEntry(string jobId, string owner, long number, double normalizedCost)
{
    public static readonly IComparer<QueueEntry> ByStartTag = Comparer<QueueEntry>.Create(
        (a, b) => a.StartTag != b.StartTag ? a.StartTag.CompareTo(b.StartTag) : a.Number.CompareTo(b.Number));

    /// <summary>Behind every other.</summary>
    public static readonly QueueEntry MaxValue = new("", "", long.MaxValue, 0) { StartTag = double.PositiveInfinity };

    public string JobId => jobId;

    public string Owner => owner;

    public long Number => number;

    public double NormalizedCost => normalizedCost;

    public double StartTag { get; set; }
}
