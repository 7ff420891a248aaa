using System.Text.Json;
using System.Text.Json.Serialization;
using Ndif.Protocol;
using StackExchange.Redis;

namespace Ndif.Chaos;

/// <summary>What the history shows: the figures that the run prints, and every violation in words.</summary>
internal sealed record ChaosReport
{
    /// <summary>How soon a job must be in the line again whose worker was lost, and run again if a worker is free.</summary>
    private static readonly TimeSpan _recoveryLimit = TimeSpan.FromSeconds(ChaosCluster.LeaseSeconds + 1);

    /// <summary>A free worker takes it sooner than that, on however busy a machine.</summary>
    private static readonly TimeSpan _maxIdleTime = TimeSpan.FromSeconds(0.6);

    public int Jobs { get; init; }

    public int Faults { get; init; }

    public int Completed { get; init; }

    public int Failed { get; init; }

    public int Cancelled { get; init; }

    public int Violations { get; init; }

    public double RecoveryP95Ms { get; init; }

    public int Leaks { get; init; }

    /// <summary>Jobs that lost their worker to a kill or a long hold while they ran.</summary>
    public int Recoveries { get; init; }

    public double RecoveryMaxMs { get; init; }

    public double Seconds { get; init; }

    /// <summary>Jobs that ran on one stream with their client, and those of them whose stream broke or was left.</summary>
    public int Blocking { get; init; }

    public int Broken { get; init; }

    public IReadOnlyDictionary<string, int> FaultKinds { get; init; } = new Dictionary<string, int>();

    public IReadOnlyList<string> Details { get; init; } = [];

    public string ToJson() => JsonSerializer.Serialize(this, ChaosReportContext.Default.ChaosReport);

    /// <summary>Jobs that were back in the line in time, but ran again later than that: every worker was busy or gone.</summary>
    public int LateStarts { get; init; }

    public static ChaosReport Create(IReadOnlyList<Outcome> history, int jobs, FaultInjector faults, IReadOnlyList<string> crashes, IReadOnlyList<string> leaks, TimeSpan duration)
    {
        List<string> violations = [.. history.SelectMany(outcome => outcome.Violations.Select(violation => $"{outcome.Id} ({outcome.Work}): {violation}")), .. crashes];
        if (history.Count != jobs || history.Select(outcome => outcome.Id).Distinct().Count() != jobs) violations.Add($"{history.Count} jobs have ended of {jobs}");
        List<double> recoveries = [];
        int late = 0;
        var work = new WorkerTimeline(history);
        foreach (Outcome outcome in history)
            foreach ((string worker, DateTimeOffset at, string[] others) in faults.Losses)
                if (GetRecoveryTime(outcome, worker, at) is { } recovery)
                {
                    recoveries.Add(recovery.TotalMilliseconds);
                    TimeSpan queued = outcome.Queued.First(time => time > at) - at;
                    if (queued > _recoveryLimit) violations.Add($"{outcome.Id} ({outcome.Work}): back in the line {queued.TotalSeconds:0.00} s after {worker} was lost, not within {_recoveryLimit.TotalSeconds:0.#} s");
                    if (recovery <= _recoveryLimit) continue;
                    late++;
                    foreach (string other in others) // by the bound the next fault may come
                        if (work.GetLongestIdleTime(other, at + queued, at + _recoveryLimit) is var idle && idle > _maxIdleTime)
                            violations.Add($"{outcome.Id} ({outcome.Work}): {worker} was lost, and {other} was free for {idle.TotalSeconds:0.00} s and did not take it");
                }
        recoveries.Sort();
        return new ChaosReport
        {
            Jobs = history.Count, Faults = faults.Counts.Values.Sum(), Violations = violations.Count, Leaks = leaks.Count,
            Completed = history.Count(outcome => outcome.State == JobState.Completed), Failed = history.Count(outcome => outcome.State == JobState.Failed),
            Cancelled = history.Count(outcome => outcome.State == JobState.Cancelled),
            LateStarts = late, Recoveries = recoveries.Count, RecoveryMaxMs = recoveries.LastOrDefault(), RecoveryP95Ms = recoveries.Count == 0 ? 0 : recoveries[(int)Math.Ceiling(0.95 * recoveries.Count) - 1],
            Blocking = history.Count(outcome => outcome.Blocking), Broken = history.Count(outcome => outcome.Blocking && outcome.Cancelling),
            Seconds = duration.TotalSeconds, FaultKinds = faults.Counts, Details = [.. violations, .. leaks],
        };
    }

    /// <summary>How long after the loss a job ran again that ran there at that moment; null for others, and for one that an earlier loss had put back in the line.</summary>
    private static TimeSpan? GetRecoveryTime(Outcome outcome, string worker, DateTimeOffset lost)
    {
        int next = outcome.Runs.FindIndex(run => run.At > lost);
        return next > 0 && outcome.Runs[next - 1] is var run && run.Worker == worker && !outcome.Queued.Any(time => time > run.At && time <= lost) ? outcome.Runs[next].At - lost : null;
    }

    /// <summary>What is left after the last job's end that should not be: in Redis, on disk, in the processes.</summary>
    public static async Task<IReadOnlyList<string>> FindLeaksAsync(ChaosCluster cluster, int accepted, int kills)
    {
        await Task.Delay(TimeSpan.FromSeconds(3)); // workers rest, and give memory back
        await using ConnectionMultiplexer redis = await ConnectionMultiplexer.ConnectAsync(cluster.RedisAddress);
        IDatabase database = redis.GetDatabase();
        string[] keys = [.. redis.GetServers()[0].Keys(pattern: "ndif:*").Select(key => key.ToString()["ndif:".Length..])];
        List<string> leaks = [.. keys.Where(key => key is "leased" or "running" or "models" or "clock" || key.Split(':')[0] is "waiting" or "active" or "share" or "finish" or "replies").Select(key => $"Redis still has {key}")];
        foreach (string kind in (string[])["job", "events"])
            if (keys.Count(key => key.StartsWith(kind + ":", StringComparison.Ordinal)) is var count && count != accepted) leaks.Add($"Redis has {count} keys {kind}:…, of {accepted} jobs");
        leaks.AddRange(cluster.FindFileLeaks());
        leaks.AddRange(cluster.FindMemoryLeaks());
        int drafts = Directory.EnumerateFiles(Path.Combine(cluster.Data, "blobs", "writing")).Count();
        if (drafts > kills) leaks.Add($"{drafts} files that nobody finished, and only {kills} processes were killed"); // who is killed leaves what he writes, until it expires
        return leaks;
    }
}

[JsonSerializable(typeof(ChaosReport))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
internal sealed partial class ChaosReportContext : JsonSerializerContext;
