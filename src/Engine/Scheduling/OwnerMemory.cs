namespace Ndif.Engine.Scheduling;

/// <summary>
/// Memory that owners share, and how much of it each may hold:
/// 1. Three quarters of what the others leave. One alone has three quarters of the memory, each of n that take all they can 3 / (3n + 1)
///    of it, and a part is always left for an owner who comes later.
/// 2. While an owner waits for memory, up to its share, the others take only what it can do without, or equal parts of the rest. So it
///    waits until what runs for owners who hold more has ended, and for nothing that begins later.
/// Can be called from any thread.
/// </summary>
/// <remarks>1 is a dynamic queue length threshold: Choudhury and Hahne, IEEE/ACM Transactions on Networking 1998.</remarks>
/// <param name="total">In bytes.</param>
internal sealed class OwnerMemory(long total)
{
    /// <summary>How many times as much as is free an owner may hold.</summary>
    private const double Alpha = 3;

    /// <summary>How much of what the others leave an owner may hold.</summary>
    private const double Part = Alpha / (Alpha + 1);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, long> _held = [];
    private readonly OrderedDictionary<string, (double Target, bool AtOnce)> _waiting = []; // the first comes first
    private long _used;

    public long Total => total;

    public long Used
    {
        get
        {
            lock (_lock) return _used;
        }
    }

    public long UsedBy(string owner)
    {
        lock (_lock) return HeldBy(owner);
    }

    /// <summary>The bytes that one owner may hold while no other holds any.</summary>
    public long MostOfOwner => (long)(total * Part);

    /// <summary>Counts bytes that an owner takes, or with a negative number frees.</summary>
    public void Add(string owner, long bytes)
    {
        lock (_lock)
        {
            long held = HeldBy(owner) + bytes;
            if (held == 0) _held.Remove(owner);
            else _held[owner] = held;
            _used += bytes;
        }
    }

    /// <summary>An owner begins to wait for memory, after those who wait already, or waits for another size.</summary>
    /// <param name="bytes">In addition to what it holds.</param>
    /// <param name="atOnce">
    /// Whether it takes all of it at once (<see cref="Fits"/>). It may then be more than its share, if the owner holds none.
    /// </param>
    public void BeginWait(string owner, double bytes, bool atOnce)
    {
        lock (_lock) _waiting[owner] = (HeldBy(owner) + bytes, atOnce);
    }

    /// <summary>Counts bytes that an owner has waited for.</summary>
    public void Take(string owner, long bytes)
    {
        lock (_lock)
        {
            Add(owner, bytes);
            EndWait(owner);
        }
    }

    public void EndWait(string owner)
    {
        lock (_lock) _waiting.Remove(owner);
    }

    public bool IsWaiting(string owner)
    {
        lock (_lock) return _waiting.ContainsKey(owner);
    }

    /// <summary>The bytes that an owner may still take; negative if it holds more than it may.</summary>
    public double FreeFor(string owner)
    {
        lock (_lock) return LimitOf(owner, Part) - HeldBy(owner);
    }

    /// <summary>
    /// Whether an owner may take bytes that it needs at once. One that holds none may take all that is left, for they may be more than
    /// three quarters of it.
    /// </summary>
    public bool Fits(string owner, long bytes)
    {
        lock (_lock)
        {
            long held = HeldBy(owner);
            return held + bytes <= LimitOf(owner, held == 0 ? 1 : Part);
        }
    }

    /// <summary>The bytes that an owner may hold.</summary>
    /// <param name="part">How much of what the others leave it may hold.</param>
    private double LimitOf(string owner, double part)
    {
        double left = total - (_used - HeldBy(owner)), limit = part * left;
        if (_waiting.Count == 0) return limit;
        int owners = _held.Keys.Concat(_waiting.Keys).Append(owner).Distinct().Count();
        double share = total / (owners + 1 / Alpha);
        foreach ((string first, (double target, bool atOnce)) in _waiting)
        {
            long held = HeldBy(first);
            bool isWhole = atOnce && held == 0;
            double granted = isWhole ? target : Math.Min(target, share), needed = isWhole ? target : granted / Part;
            if (granted <= held) continue;
            if (first == owner) break;
            return Math.Min(limit, Math.Max(left + held - needed, (total - granted) / (owners - 1 + 1 / Alpha)));
        }
        return limit;
    }

    private long HeldBy(string owner) => _held.GetValueOrDefault(owner);
}
