namespace Ndif.Chaos;

/// <summary>The times in which each worker ran jobs, from the histories of the jobs.</summary>
internal sealed class WorkerTimeline
{
    private readonly Dictionary<string, List<(DateTimeOffset From, DateTimeOffset To)>> _busy = [];

    public WorkerTimeline(IEnumerable<Outcome> history)
    {
        foreach (Outcome outcome in history)
        {
            foreach (AttemptStart run in outcome.Runs)
            {
                // until the job was queued again or ended
                DateTimeOffset to = outcome.Queued.Where(again => again > run.At).Append(outcome.Ended).Min();
                if (!_busy.TryGetValue(run.Worker, out var runs)) _busy[run.Worker] = runs = [];
                runs.Add((run.At, to));
            }
        }
        foreach (var runs in _busy.Values) runs.Sort();
    }

    /// <summary>The longest continuous time in which a worker ran no job.</summary>
    public TimeSpan GetLongestIdleTime(string worker, DateTimeOffset from, DateTimeOffset until)
    {
        TimeSpan longestIdle = TimeSpan.Zero;
        DateTimeOffset free = from;
        foreach ((DateTimeOffset began, DateTimeOffset ended) in _busy.GetValueOrDefault(worker) ?? [])
        {
            if (began >= until) break;
            if (began - free > longestIdle) longestIdle = began - free;
            if (ended > free) free = ended;
        }
        return until - free > longestIdle ? until - free : longestIdle;
    }
}
