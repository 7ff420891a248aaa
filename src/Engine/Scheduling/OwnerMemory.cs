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
    private readonly List<Wait> _waiting = []; // the first comes first
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

    /// <summary>Begins to wait for memory for an owner, after those who wait already.</summary>
    /// <param name="bytes">In addition to what it holds.</param>
    /// <param name="atOnce">
    /// Whether it takes all of it at once (<see cref="Fits"/>). It may then be more than its share, if the owner holds none.
    /// </param>
    public Wait BeginWait(string owner, double bytes, bool atOnce)
    {
        lock (_lock)
        {
            var wait = new Wait(owner, bytes, HeldBy(owner) + bytes, atOnce);
            _waiting.Add(wait);
            return wait;
        }
    }

    public void EndWait(Wait wait)
    {
        lock (_lock) _waiting.Remove(wait);
    }

    /// <summary>Whether the owner can take now what it waits for, and has not waited for something else for longer.</summary>
    public bool IsOver(Wait wait)
    {
        lock (_lock) return _waiting.Find(other => other.Owner == wait.Owner) == wait && FreeFor(wait.Owner) >= wait.Bytes;
    }

    /// <summary>Counts bytes that an owner takes, and ends its waits.</summary>
    public void Take(string owner, long bytes)
    {
        lock (_lock)
        {
            Add(owner, bytes);
            _waiting.RemoveAll(wait => wait.Owner == owner);
        }
    }

    public bool IsWaiting(string owner)
    {
        lock (_lock) return _waiting.Exists(wait => wait.Owner == owner);
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
        int owners = _held.Keys.Concat(_waiting.Select(wait => wait.Owner)).Append(owner).Distinct().Count();
        double share = total / (owners + 1 / Alpha);
        foreach (Wait wait in _waiting)
        {
            long held = HeldBy(wait.Owner);
            bool isWhole = wait.AtOnce && held == 0;
            double granted = isWhole ? wait.Target : Math.Min(wait.Target, share), needed = isWhole ? granted : granted / Part;
            if (granted <= held) continue;
            if (wait.Owner == owner) break;
            return Math.Min(limit, Math.Max(left + held - needed, (total - granted) / (owners - 1 + 1 / Alpha)));
        }
        return limit;
    }

    private long HeldBy(string owner) => _held.GetValueOrDefault(owner);

    /// <summary>An owner waits for memory.</summary>
    /// <param name="bytes">What it waits for, in addition to what it held when the wait began.</param>
    /// <param name="target">What it will hold with it.</param>
    public sealed class Wait(string owner, double bytes, double target, bool atOnce)
    {
        public string Owner => owner;

        public double Bytes => bytes;

        public double Target => target;

        public bool AtOnce => atOnce;
    }
}
