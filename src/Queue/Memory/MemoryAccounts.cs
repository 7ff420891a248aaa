using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>What the jobs of each day, owner and model used. Touched only under the queue's lock.</summary>
internal sealed class MemoryAccounts
{
    private readonly Dictionary<(DateOnly Day, string Owner, string Model), UsageRow> rows = [];

    public void Add(DateTimeOffset now, string owner, string model, JobState state, Charge charge)
    {
        DateOnly day = DateOnly.FromDateTime(now.UtcDateTime);
        if (!rows.TryGetValue((day, owner, model), out UsageRow? row))
            rows[(day, owner, model)] = row = new UsageRow { Key = owner, Model = model, Day = Accounts.Text(day) };
        row.Jobs++;
        if (state == JobState.Completed) row.Completed++;
        if (state == JobState.Failed) row.Failed++;
        if (state == JobState.Cancelled) row.Cancelled++;
        row.Tokens += charge.Tokens;
        row.Passes += charge.Passes;
        row.ComputeSeconds = (Math.Round(row.ComputeSeconds * 1000) + charge.ComputeMilliseconds) / 1000;
        row.ResultBytes += charge.ResultBytes;
    }

    public IReadOnlyList<UsageRow> Of(string owner, DateOnly since, DateOnly until) => Accounts.InOrder(rows
        .Where(row => row.Key.Day >= since && row.Key.Day <= until && (owner.Length == 0 || row.Key.Owner == owner))
        .Select(row => row.Value.Clone()));

    public void Forget(DateTimeOffset now)
    {
        DateOnly oldest = DateOnly.FromDateTime(now.UtcDateTime).AddDays(-Accounts.KeptDays);
        foreach (var old in rows.Keys.Where(row => row.Day < oldest).ToArray()) rows.Remove(old);
    }
}
