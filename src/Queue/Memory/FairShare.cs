namespace Ndif.Queue;

/// <summary>
/// One model's waiting line in the order of start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996). Each job has a tag in
/// virtual time: where its owner's last job ends, but not before the model's clock; the owner's next job comes cost/weight later.
/// The smallest tag goes first and sets the clock. So an owner who floods the line only delays his own jobs.
/// Redis/Scripts/*.lua do the same arithmetic in the same order.
/// </summary>
internal sealed class FairShare
{
    private readonly TicketLine line = new();
    private readonly Dictionary<string, SortedSet<Ticket>> owned = []; // each owner's part of the line, in the same order
    private readonly Dictionary<string, double> finish = []; // where each owner's last job ends
    private double clock;

    public int Count => line.Count;

    public Ticket? First => line.First;

    /// <summary>1 for the job that is next; 0 for one that does not wait.</summary>
    public int PositionOf(Ticket ticket) => line.PositionOf(ticket);

    public void Enter(Ticket ticket)
    {
        ticket.Tag = Math.Max(finish.GetValueOrDefault(ticket.Owner), clock);
        finish[ticket.Owner] = ticket.Tag + ticket.Share;
        Insert(ticket);
    }

    /// <summary>Before everybody who has not been served yet. Its owner has been charged already.</summary>
    public void EnterFront(Ticket ticket)
    {
        ticket.Tag = double.NegativeInfinity;
        Insert(ticket);
    }

    public void Take(Ticket first)
    {
        Remove(first);
        clock = Math.Max(clock, first.Tag);
    }

    /// <summary>As if it had never been there: the owner's later jobs move up by what it would have cost.</summary>
    public void Withdraw(Ticket ticket)
    {
        Ticket[] later = double.IsNegativeInfinity(ticket.Tag) ? [] : [.. owned[ticket.Owner].GetViewBetween(ticket, Ticket.Last).Skip(1)];
        Remove(ticket);
        if (double.IsNegativeInfinity(ticket.Tag)) return;
        foreach (Ticket moved in later)
        {
            Remove(moved);
            moved.Tag -= ticket.Share;
            Insert(moved);
        }
        finish[ticket.Owner] -= ticket.Share;
    }

    /// <summary>With nobody waiting and nobody served, nobody is owed anything.</summary>
    public void Forget()
    {
        finish.Clear();
        clock = 0;
    }

    private void Insert(Ticket ticket)
    {
        line.Add(ticket);
        if (!owned.TryGetValue(ticket.Owner, out SortedSet<Ticket>? own)) owned[ticket.Owner] = own = new SortedSet<Ticket>(Ticket.Order);
        own.Add(ticket);
    }

    private void Remove(Ticket ticket)
    {
        line.Remove(ticket);
        SortedSet<Ticket> own = owned[ticket.Owner];
        own.Remove(ticket);
        if (own.Count == 0) owned.Remove(ticket.Owner);
    }
}

/// <summary>
/// Tickets by tag, then by number, in runs of some hundreds: what is moved or counted grows with the root of their number (benchmark
/// `service.flatness, in memory`; a plain list of 10,000 took a thousand times as long for a cancel as one of 10).
/// </summary>
internal sealed class TicketLine
{
    private const int Longest = 512;
    private readonly List<List<Ticket>> runs = []; // none of them empty

    public int Count { get; private set; }

    public Ticket? First => runs.Count > 0 ? runs[0][0] : null;

    public void Add(Ticket ticket)
    {
        Count++;
        if (runs.Count == 0)
        {
            runs.Add([ticket]);
            return;
        }
        int which = Math.Min(RunOf(ticket), runs.Count - 1);
        List<Ticket> run = runs[which];
        run.Insert(~run.BinarySearch(ticket, Ticket.Order), ticket);
        if (run.Count <= Longest) return;
        runs.Insert(which + 1, run[(Longest / 2)..]);
        run.RemoveRange(Longest / 2, run.Count - (Longest / 2));
    }

    public void Remove(Ticket ticket)
    {
        int which = RunOf(ticket);
        List<Ticket> run = runs[which];
        run.RemoveAt(run.BinarySearch(ticket, Ticket.Order));
        if (run.Count == 0) runs.RemoveAt(which);
        Count--;
    }

    /// <summary>Counted from 1; 0 for a ticket that is not here.</summary>
    public int PositionOf(Ticket ticket)
    {
        int which = RunOf(ticket), before = 0;
        if (which == runs.Count || runs[which].BinarySearch(ticket, Ticket.Order) is not (>= 0 and var at)) return 0;
        for (int i = 0; i < which; i++) before += runs[i].Count;
        return before + at + 1;
    }

    /// <summary>The first run whose last ticket is not before this one; their number, if it is behind all.</summary>
    private int RunOf(Ticket ticket)
    {
        int low = 0, high = runs.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (Ticket.Order.Compare(runs[middle][^1], ticket) < 0) low = middle + 1;
            else high = middle;
        }
        return low;
    }
}

/// <summary>A job's place in a line.</summary>
/// <param name="number">Counts submissions; decides between equal tags.</param>
/// <param name="share">Cost divided by weight.</param>
internal sealed class Ticket(string jobId, string owner, long number, double share)
{
    public static readonly IComparer<Ticket> Order = Comparer<Ticket>.Create(
        (a, b) => a.Tag != b.Tag ? a.Tag.CompareTo(b.Tag) : a.Number.CompareTo(b.Number));

    /// <summary>Behind every other.</summary>
    public static readonly Ticket Last = new("", "", long.MaxValue, 0) { Tag = double.PositiveInfinity };

    public string JobId => jobId;

    public string Owner => owner;

    public long Number => number;

    public double Share => share;

    public double Tag { get; set; }
}
