using Ndif.Protocol;

namespace Ndif.Queue.Tests;

/// <summary>The simplest queue that follows the rules: lists that are searched and sorted. It writes down what it says.</summary>
public sealed class QueueModel
{
    private const int MaxAttempts = 3;
    private readonly List<ModelJob> jobs = [];
    private readonly Dictionary<(string Model, string Owner), double> finish = [];
    private readonly Dictionary<string, double> clock = [];
    private readonly List<(ModelJob Job, int Attempt)> leases = [];

    public string Submit(string id, string owner, string model, double share)
    {
        ModelJob? known = jobs.Find(j => j.Id == id);
        if (known is not null) return known.Owner == owner ? Info(known) : "refused";
        var job = new ModelJob(id, owner, model, share)
        {
            Tag = Math.Max(finish.GetValueOrDefault((model, owner)), clock.GetValueOrDefault(model)),
        };
        finish[(model, owner)] = job.Tag + share;
        jobs.Add(job);
        job.Events.Add("Received 0 0");
        Queued(job);
        return Info(job);
    }

    public string Take(params string[] models)
    {
        ModelJob? first = models.Distinct().Select(m => Line(m).FirstOrDefault()).OfType<ModelJob>().MinBy(jobs.IndexOf);
        if (first is null) return "nothing";
        first.Waits = false;
        first.Runs = true;
        first.Attempt++;
        clock[first.Model] = Math.Max(clock.GetValueOrDefault(first.Model), first.Tag);
        leases.Add((first, first.Attempt));
        return $"{first.Id} {first.Attempt}";
    }

    public string Log(int lease) => Hold(lease) is { } job ? Event(job, "log") : "lost";

    public string Renew(int lease) => Hold(lease) is null ? "lost" : "done";

    public string End(int lease, JobState state)
    {
        if (Hold(lease) is not { } job) return "lost";
        End(job, state);
        return "done";
    }

    public string Return(int lease)
    {
        if (Hold(lease) is { } job) ToFront(job);
        return "done";
    }

    public string Cancel(string id)
    {
        if (jobs.Find(j => j.Id == id) is not { } job) return "none";
        if (job.Waits && !double.IsNegativeInfinity(job.Tag))
        {
            // as if it had never been there: the owner's later jobs follow one another from where it was
            double at = job.Tag;
            foreach (ModelJob later in Line(job.Model).Where(j => j.Owner == job.Owner).SkipWhile(j => j != job).Skip(1).ToArray())
            {
                later.Tag = at;
                at += later.Share;
            }
            finish[(job.Model, job.Owner)] = at;
        }
        if (!IsEnd(job.State)) End(job, JobState.Cancelled);
        return Info(job);
    }

    public string LoseWorkers()
    {
        ModelJob[] running = [.. leases.Select(l => l.Job).Distinct().Where(j => j.Runs).OrderBy(j => j.Id, StringComparer.Ordinal)];
        foreach (ModelJob job in running)
        {
            if (++job.Deaths < MaxAttempts) ToFront(job);
            else End(job, JobState.Failed);
        }
        return $"{running.Length}";
    }

    /// <summary>Every job with all its events.</summary>
    public IEnumerable<string> Jobs => jobs.Select(j => $"{Info(j)} | {string.Join(", ", j.Events)}");

    private ModelJob? Hold(int lease) => leases.Count == 0 ? null
        : leases[lease % leases.Count] is var (job, attempt) && job.Runs && job.Attempt == attempt ? job : null;

    private List<ModelJob> Line(string model) => [.. jobs.Where(j => j.Model == model && j.Waits).OrderBy(j => j.Tag).ThenBy(jobs.IndexOf)];

    private void ToFront(ModelJob job)
    {
        (job.Runs, job.Waits, job.Tag) = (false, true, double.NegativeInfinity);
        Queued(job);
    }

    private void Queued(ModelJob job)
    {
        job.State = JobState.Queued;
        job.Events.Add($"Queued {Position(job)} {job.Attempt}");
    }

    private void End(ModelJob job, JobState state)
    {
        (job.State, job.Runs, job.Waits) = (state, false, false);
        job.Events.Add($"{state} 0 {job.Attempt}");
        if (jobs.Any(j => j.Model == job.Model && (j.Waits || j.Runs))) return;
        clock.Remove(job.Model);
        foreach (var key in finish.Keys.Where(k => k.Model == job.Model).ToArray()) finish.Remove(key);
    }

    private static string Event(ModelJob job, string text)
    {
        job.Events.Add(text);
        return "done";
    }

    private int Position(ModelJob job) => job.Waits ? Line(job.Model).IndexOf(job) + 1 : 0;

    private string Info(ModelJob job) => $"{job.Id} {job.State} {Position(job)} {job.Attempt} {job.Events.Count}";

    private static bool IsEnd(JobState state) => state is JobState.Completed or JobState.Failed or JobState.Cancelled;

    private sealed class ModelJob(string id, string owner, string model, double share)
    {
        public string Id => id;
        public string Owner => owner;
        public string Model => model;
        public double Share => share;
        public double Tag { get; set; }
        public JobState State { get; set; }
        public bool Waits { get; set; } = true;
        public bool Runs { get; set; }
        public int Attempt { get; set; }
        public int Deaths { get; set; }
        public List<string> Events { get; } = [];
    }
}
