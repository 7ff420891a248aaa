namespace Ndif.Queue;

/// <summary>
/// One model's waiting line in the order of start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996). Each job has a tag in
/// virtual time: where its owner's last job ends, but not before the model's clock; the owner's next job comes cost/weight later.
/// The smallest tag goes first and sets the clock. So an owner who floods the line only delays his own jobs.
/// Redis/Scripts/*.lua do the same arithmetic in the same order.
/// </summary>
internal sealed class FairShare
{
    private readonly List<Ticket> line = []; // by tag, then by number
    private readonly Dictionary<string, double> finish = []; // where each owner's last job ends
    private double clock;

    public int Count => line.Count;

    public Ticket? First => line.Count > 0 ? line[0] : null;

    /// <summary>1 for the job that is next; 0 for one that does not wait.</summary>
    public int PositionOf(Ticket ticket) => Math.Max(0, line.BinarySearch(ticket, Ticket.Order) + 1);

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
        line.RemoveAt(0);
        clock = Math.Max(clock, first.Tag);
    }

    /// <summary>As if it had never been there: the owner's later jobs move up by what it would have cost.</summary>
    public void Withdraw(Ticket ticket)
    {
        int at = line.BinarySearch(ticket, Ticket.Order);
        line.RemoveAt(at);
        if (double.IsNegativeInfinity(ticket.Tag)) return;
        foreach (Ticket later in line.Skip(at).Where(t => t.Owner == ticket.Owner)) later.Tag -= ticket.Share;
        finish[ticket.Owner] -= ticket.Share;
        line.Sort(Ticket.Order);
    }

    /// <summary>With nobody waiting and nobody served, nobody is owed anything.</summary>
    public void Forget()
    {
        finish.Clear();
        clock = 0;
    }

    private void Insert(Ticket ticket) => line.Insert(~line.BinarySearch(ticket, Ticket.Order), ticket);
}

/// <summary>A job's place in a line.</summary>
/// <param name="number">Counts submissions; decides between equal tags.</param>
/// <param name="share">Cost divided by weight.</param>
internal sealed class Ticket(string jobId, string owner, long number, double share)
{
    public static readonly IComparer<Ticket> Order = Comparer<Ticket>.Create(
        (a, b) => a.Tag != b.Tag ? a.Tag.CompareTo(b.Tag) : a.Number.CompareTo(b.Number));

    public string JobId => jobId;

    public string Owner => owner;

    public long Number => number;

    public double Share => share;

    public double Tag { get; set; }
}
