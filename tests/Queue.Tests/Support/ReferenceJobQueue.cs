using Ndif.Protocol;

namespace Ndif.Queue.Tests.Support;

/// <summary>A reference implementation of the queue rules with lists that are searched and sorted. It records its events.</summary>
public sealed class ReferenceJobQueue
{
    private const int MaxAttempts = 3;
    private readonly List<ReferenceJob> _jobs = [];
    private readonly Dictionary<(string Model, string Owner), double> _finishTags = [];
    private readonly Dictionary<string, double> _virtualTimes = [];
    private readonly List<(ReferenceJob Job, int Attempt)> _leases = [];

    public string Submit(string id, string owner, string model, double normalizedCost)
    {
        ReferenceJob? known = _jobs.Find(j => j.Id == id);
        if (known is not null) return known.Owner == owner ? Format(known) : "refused";
        ReferenceJob job = new ReferenceJob(id, owner, model, normalizedCost)
        {
            StartTag = Math.Max(_finishTags.GetValueOrDefault((model, owner)), _virtualTimes.GetValueOrDefault(model)),
        };
        _finishTags[(model, owner)] = job.StartTag + normalizedCost;
        _jobs.Add(job);
        job.Events.Add("Received 0 0");
        OnEnqueued(job);
        return Format(job);
    }

    public string Lease(params string[] models)
    {
        ReferenceJob? first = models.Distinct().Select(m => GetWaiting(m).FirstOrDefault()).OfType<ReferenceJob>().MinBy(_jobs.IndexOf);
        if (first is null) return "nothing";
        first.IsWaiting = false;
        first.IsRunning = first.WasLeased = true;
        first.Attempt++;
        if (first.Attempt > 1) first.Events.Add($"restart {first.Attempt}");
        _virtualTimes[first.Model] = Math.Max(_virtualTimes.GetValueOrDefault(first.Model), first.StartTag);
        _leases.Add((first, first.Attempt));
        return $"{first.Id} {first.Attempt}";
    }

    public string Log(int lease) => FindLeased(lease) is { } job ? AddEvent(job, "log") : "lost";

    public string Renew(int lease) => FindLeased(lease) is null ? "lost" : "done";

    public string End(int lease, JobState state)
    {
        if (FindLeased(lease) is not { } job) return "lost";
        End(job, state);
        return "done";
    }

    public string Return(int lease)
    {
        if (FindLeased(lease) is { } job) EnqueueInTurn(job);
        return "done";
    }

    public string Cancel(string id)
    {
        if (_jobs.Find(j => j.Id == id) is not { } job) return "none";
        if (job.IsWaiting && !job.WasLeased)
        {
            // refund: the owner's later jobs move up to the place of the cancelled one
            double at = job.StartTag;
            foreach (ReferenceJob later in GetWaiting(job.Model).Where(j => j.Owner == job.Owner && !j.WasLeased)
                .SkipWhile(j => j != job).Skip(1).ToArray())
            {
                later.StartTag = at;
                at += later.NormalizedCost;
            }
            _finishTags[(job.Model, job.Owner)] = at;
        }
        if (!job.State.IsTerminal()) End(job, JobState.Cancelled);
        return Format(job);
    }

    public string ExpireLeases()
    {
        ReferenceJob[] running =
            [.. _leases.Select(l => l.Job).Distinct().Where(j => j.IsRunning).OrderBy(j => j.Id, StringComparer.Ordinal)];
        foreach (ReferenceJob job in running)
        {
            if (++job.LostLeases < MaxAttempts) EnqueueFront(job);
            else End(job, JobState.Failed);
        }
        return $"{running.Length}";
    }

    /// <summary>Returns every job with its events.</summary>
    public IEnumerable<string> Jobs => _jobs.Select(j => $"{Format(j)} | {string.Join(", ", j.Events)}");

    private ReferenceJob? FindLeased(int lease) => _leases.Count == 0 ? null
        : _leases[lease % _leases.Count] is var (job, attempt) && job.IsRunning && job.Attempt == attempt ? job : null;

    private List<ReferenceJob> GetWaiting(string model) =>
        [.. _jobs.Where(j => j.Model == model && j.IsWaiting).OrderBy(j => j.StartTag).ThenBy(_jobs.IndexOf)];

    private void EnqueueFront(ReferenceJob job)
    {
        (job.IsRunning, job.IsWaiting, job.StartTag) = (false, true, double.NegativeInfinity);
        OnEnqueued(job);
    }

    private void EnqueueInTurn(ReferenceJob job)
    {
        ReferenceJob[] own = [.. GetWaiting(job.Model).Where(j => j.Owner == job.Owner && !j.WasLeased)];
        var key = (job.Model, job.Owner);
        double finish = Math.Max(_finishTags.GetValueOrDefault(key), _virtualTimes.GetValueOrDefault(job.Model));
        job.StartTag = own.Length > 0 ? own[0].StartTag : finish;
        foreach (ReferenceJob later in own) later.StartTag += job.NormalizedCost;
        _finishTags[key] = finish + job.NormalizedCost;
        (job.IsRunning, job.IsWaiting) = (false, true);
        OnEnqueued(job);
    }

    private void OnEnqueued(ReferenceJob job)
    {
        job.State = JobState.Queued;
        job.Events.Add($"Queued {GetPosition(job)} {job.Attempt}");
    }

    private void End(ReferenceJob job, JobState state)
    {
        (job.State, job.IsRunning, job.IsWaiting) = (state, false, false);
        job.Events.Add($"{state} 0 {job.Attempt}");
        if (_jobs.Any(j => j.Model == job.Model && (j.IsWaiting || j.IsRunning))) return;
        _virtualTimes.Remove(job.Model);
        foreach (var key in _finishTags.Keys.Where(k => k.Model == job.Model).ToArray()) _finishTags.Remove(key);
    }

    private static string AddEvent(ReferenceJob job, string text)
    {
        job.Events.Add(text);
        return "done";
    }

    private int GetPosition(ReferenceJob job) => job.IsWaiting ? GetWaiting(job.Model).IndexOf(job) + 1 : 0;

    private string Format(ReferenceJob job) => $"{job.Id} {job.State} {GetPosition(job)} {job.Attempt} {job.Events.Count}";

    private sealed class ReferenceJob(string id, string owner, string model, double normalizedCost)
    {
        public string Id => id;
        public string Owner => owner;
        public string Model => model;
        public double NormalizedCost => normalizedCost;
        public double StartTag { get; set; }
        public JobState State { get; set; }
        public bool IsWaiting { get; set; } = true;
        public bool WasLeased { get; set; }
        public bool IsRunning { get; set; }
        public int Attempt { get; set; }
        public int LostLeases { get; set; }
        public List<string> Events { get; } = [];
    }
}
