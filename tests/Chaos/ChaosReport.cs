using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Ndif.Protocol;
using StackExchange.Redis;

namespace Ndif.Chaos;

/// <summary>The figures of a run, and a description of every violation.</summary>
internal sealed record ChaosReport
{
    /// <summary>The time in which a job whose worker was lost must be queued again, and run again if a worker is idle.</summary>
    private static readonly TimeSpan _recoveryLimit = TimeSpan.FromSeconds(ChaosCluster.LeaseSeconds + 1);

    /// <summary>A worker that is idle for longer while a job waits is a violation.</summary>
    private static readonly TimeSpan _maxIdleTime = TimeSpan.FromSeconds(0.6);

    public int Jobs { get; init; }

    public int Faults { get; init; }

    public int Completed { get; init; }

    public int Failed { get; init; }

    public int Cancelled { get; init; }

    /// <summary>Jobs that a restore of Redis has lost.</summary>
    public int Lost { get; init; }

    public int Violations { get; init; }

    public double RecoveryP95Ms { get; init; }

    public int Leaks { get; init; }

    /// <summary>Jobs whose worker was killed or suspended for longer than its lease while they ran.</summary>
    public int Recoveries { get; init; }

    public double RecoveryMaxMs { get; init; }

    public double Seconds { get; init; }

    /// <summary>Jobs that ran on one stream with their client.</summary>
    public int Blocking { get; init; }

    /// <summary>Jobs of <see cref="Blocking"/> whose stream broke or was closed by the client.</summary>
    public int Broken { get; init; }

    /// <summary>Jobs whose client left while another one followed them at the other gateway.</summary>
    public int Followed { get; init; }

    public IReadOnlyDictionary<string, int> FaultKinds { get; init; } = new Dictionary<string, int>();

    public IReadOnlyList<string> Details { get; init; } = [];

    public string ToJson() => JsonSerializer.Serialize(this, ChaosReportContext.Default.ChaosReport);

    /// <summary>Jobs that were queued again in time, but started later because no worker was idle.</summary>
    public int LateStarts { get; init; }

    public static ChaosReport Create(IReadOnlyList<Outcome> history, int jobs, FaultInjector faults, IReadOnlyList<string> crashes,
        IReadOnlyList<string> leaks, TimeSpan duration)
    {
        List<string> violations =
            [.. history.SelectMany(outcome => outcome.Violations.Select(violation => $"{outcome.Id} ({outcome.Work}): {violation}")),
                .. crashes, .. faults.Followed.Violations];
        if (history.Count != jobs || history.Select(outcome => outcome.Id).Distinct().Count() != jobs)
            violations.Add($"{history.Count} jobs have ended of {jobs}");
        List<double> recoveries = [];
        int late = 0;
        var work = new WorkerTimeline(history);
        foreach (Outcome outcome in history.Where(outcome => !outcome.Restored))
            foreach ((string worker, DateTimeOffset at, string[] others) in faults.Losses)
                if (GetRecoveryTime(outcome, worker, at) is { } recovery)
                {
                    recoveries.Add(recovery.TotalMilliseconds);
                    TimeSpan queued = outcome.Queued.First(time => time > at) - at;
                    if (queued > _recoveryLimit)
                        violations.Add(
                            $"{outcome.Id} ({outcome.Work}): queued again {queued.TotalSeconds:0.00} s after {worker} was lost, not "
                            + $"within {_recoveryLimit.TotalSeconds:0.#} s");
                    if (recovery <= _recoveryLimit) continue;
                    late++;
                    foreach (string other in others) // the next fault can occur after this time
                        if (work.GetLongestIdleTime(other, at + queued, at + _recoveryLimit) is var idle && idle > _maxIdleTime)
                            violations.Add(
                                $"{outcome.Id} ({outcome.Work}): {worker} was lost, and {other} was idle for {idle.TotalSeconds:0.00} s "
                                + "and did not run it");
                }
        recoveries.Sort();
        return new ChaosReport
        {
            Jobs = history.Count, Faults = faults.Counts.Values.Sum(), Violations = violations.Count, Leaks = leaks.Count,
            Completed = history.Count(outcome => outcome.State == JobState.Completed),
                Failed = history.Count(outcome => outcome.State == JobState.Failed),
            Cancelled = history.Count(outcome => outcome.State == JobState.Cancelled),
            Lost = history.Count(outcome => outcome.Restored && !outcome.State.IsTerminal()),
            LateStarts = late, Recoveries = recoveries.Count, RecoveryMaxMs = recoveries.LastOrDefault(),
                RecoveryP95Ms = recoveries.Count == 0 ? 0 : recoveries[(int)Math.Ceiling(0.95 * recoveries.Count) - 1],
            Blocking = history.Count(outcome => outcome.Blocking),
                Broken = history.Count(outcome => outcome.Blocking && outcome.Cancelling),
            Followed = history.Count(outcome => outcome.Followed),
            Seconds = duration.TotalSeconds, FaultKinds = faults.Counts, Details = [.. violations, .. leaks],
        };
    }

    /// <summary>
    /// The time from the loss of a worker until a job that ran there runs again; null for a job that did not run there, or that an earlier
    /// loss had already returned to the queue.
    /// </summary>
    private static TimeSpan? GetRecoveryTime(Outcome outcome, string worker, DateTimeOffset lost)
    {
        int next = outcome.Runs.FindIndex(run => run.At > lost);
        return next > 0 && outcome.Runs[next - 1] is var run && run.Worker == worker
            && !outcome.Queued.Any(time => time > run.At && time <= lost) ? outcome.Runs[next].At - lost : null;
    }

    /// <summary>Finds what should not remain after the end of the last job: in Redis, on disk and in the processes.</summary>
    /// <param name="lost">The jobs that a restore of Redis may have lost.</param>
    public static async Task<IReadOnlyList<string>> FindLeaksAsync(ChaosCluster cluster, int accepted, int lost, int kills)
    {
        await Task.Delay(TimeSpan.FromSeconds(3)); // workers are idle, and return unused memory
        await using ConnectionMultiplexer redis = await ConnectionMultiplexer.ConnectAsync(cluster.RedisAddress);
        IDatabase database = redis.GetDatabase();
        string[] keys = [.. redis.GetServers()[0].Keys(pattern: "ndif:*").Select(key => key.ToString()["ndif:".Length..])];
        List<string> leaks =
            [.. keys.Where(key => key is "leased" or "running" or "models" or "clock" || key.Split(':')[0] is "waiting" or "active"
                or "share" or "finish" or "replies").Select(key => $"Redis still has {key}")];
        foreach (string kind in (string[])["job", "events"])
            if (keys.Count(key => key.StartsWith(kind + ":", StringComparison.Ordinal)) is var count
                && (count > accepted || count < accepted - lost))
                leaks.Add($"Redis has {count} keys {kind}:…, of {accepted} jobs");
        leaks.AddRange(await FindWrongCountsAsync(database, keys));
        leaks.AddRange(cluster.FindFileLeaks());
        leaks.AddRange(cluster.FindMemoryLeaks());
        int drafts = Directory.EnumerateFiles(Path.Combine(cluster.Data, "blobs", "writing")).Count();
        // a killed process leaves an unfinished file until the file expires
        if (drafts > kills) leaks.Add($"{drafts} unfinished files, and only {kills} processes were killed");
        return leaks;
    }

    /// <summary>The stored bytes of all owners are those of the jobs, of the uploads and of the published edits.</summary>
    private static async Task<IReadOnlyList<string>> FindWrongCountsAsync(IDatabase database, string[] keys)
    {
        const long UploadBytes = 320; // UPLOAD_BYTES of src/Queue/Redis/Scripts/common.lua
        List<string> wrong = [];
        string[] uploads = [.. (await database.SortedSetRangeByRankAsync("ndif:uploads")).Select(member => member.ToString())];
        foreach (string kind in (string[])["queue_bytes", "blob_bytes"])
        {
            long jobs = uploads.Sum(upload => kind == "queue_bytes" ? UploadBytes
                : long.Parse(upload.Split(' ')[2], CultureInfo.InvariantCulture)); // "owner blob bytes"
            foreach (string key in keys.Where(key => key.StartsWith("job:", StringComparison.Ordinal)))
                jobs += (long)await database.HashGetAsync("ndif:" + key, kind);
            if (kind == "queue_bytes") jobs += (await database.HashGetAllAsync("ndif:edit_bytes")).Sum(entry => (long)entry.Value);
            long counted = (long)await database.HashGetAsync("ndif:totals", kind),
                owners = (await database.HashGetAllAsync($"ndif:{kind}")).Sum(entry => (long)entry.Value);
            if (counted != jobs || owners != jobs)
                wrong.Add($"{kind}: {counted} in all, {owners} of owners, and {jobs} of jobs, uploads and edits");
        }
        return wrong;
    }
}

[JsonSerializable(typeof(ChaosReport))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
internal sealed partial class ChaosReportContext : JsonSerializerContext;
