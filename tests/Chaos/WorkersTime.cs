namespace Ndif.Chaos;

/// <summary>When each worker ran something, as the jobs' histories show it.</summary>
internal sealed class WorkersTime
{
    private readonly Dictionary<string, List<(DateTimeOffset From, DateTimeOffset To)>> _busy = [];

    public WorkersTime(IEnumerable<Outcome> history)
    {
        foreach (Outcome outcome in history)
        {
            foreach (Running run in outcome.Runs)
            {
                // until it was in the line again, or had ended
                DateTimeOffset to = outcome.Queued.Where(again => again > run.At).Append(outcome.Ended).Min();
                if (!_busy.TryGetValue(run.Worker, out var runs)) _busy[run.Worker] = runs = [];
                runs.Add((run.At, to));
            }
        }
        foreach (var runs in _busy.Values) runs.Sort();
    }

    /// <summary>The longest time in a row within which a worker ran nothing.</summary>
    public TimeSpan IdleFor(string worker, DateTimeOffset from, DateTimeOffset until)
    {
        TimeSpan longest = TimeSpan.Zero;
        DateTimeOffset free = from;
        foreach ((DateTimeOffset began, DateTimeOffset ended) in _busy.GetValueOrDefault(worker) ?? [])
        {
            if (began >= until) break;
            if (began - free > longest) longest = began - free;
            if (ended > free) free = ended;
        }
        return until - free > longest ? until - free : longest;
    }
}
