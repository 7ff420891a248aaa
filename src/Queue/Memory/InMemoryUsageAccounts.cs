using Ndif.Protocol;
using Ndif.Queue.Rules;

namespace Ndif.Queue.Memory;

/// <summary>Usage records by day, owner and model. Accessed only under the lock of the queue.</summary>
internal sealed class InMemoryUsageAccounts
{
    private readonly Dictionary<(DateOnly Day, string Owner, string Model), UsageRow> _rows = [];

    public void Add(DateTimeOffset now, string owner, string model, JobState state, UsageCharge charge)
    {
        DateOnly day = DateOnly.FromDateTime(now.UtcDateTime);
        if (!_rows.TryGetValue((day, owner, model), out UsageRow? row))
            _rows[(day, owner, model)] = row = new UsageRow { Key = owner, Model = model, Day = UsageAccounting.FormatDay(day) };
        row.Jobs++;
        if (state == JobState.Completed) row.Completed++;
        if (state == JobState.Failed) row.Failed++;
        if (state == JobState.Cancelled) row.Cancelled++;
        row.Tokens += charge.Tokens;
        row.Passes += charge.Passes;
        row.ComputeSeconds = (Math.Round(row.ComputeSeconds * 1000) + charge.ComputeMilliseconds) / 1000;
        row.ResultBytes += charge.ResultBytes;
    }

    public IReadOnlyList<UsageRow> Get(string owner, DateOnly since, DateOnly until) => UsageAccounting.Sort(_rows
        .Where(row => row.Key.Day >= since && row.Key.Day <= until && (owner.Length == 0 || row.Key.Owner == owner))
        .Select(row => row.Value.Clone()));

    public void RemoveExpired(DateTimeOffset now)
    {
        DateOnly oldest = DateOnly.FromDateTime(now.UtcDateTime).AddDays(-UsageAccounting.RetentionDays);
        foreach (var old in _rows.Keys.Where(row => row.Day < oldest).ToArray()) _rows.Remove(old);
    }
}
