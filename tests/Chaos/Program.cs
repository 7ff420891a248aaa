using System.Diagnostics;
using Ndif.Chaos;

// Runs the service under faults; see tests/Chaos/README.md.
//   --jobs N --faults M --seed S [--clients C] [--json] [--keep]      client …: runs a client process
if (args is ["client", var index, var of, var share, var clientSeed, var work, var first, var second, var key])
{
    await new ClientProcess(int.Parse(index), int.Parse(of), int.Parse(share), int.Parse(clientSeed), work, [first, second], key)
        .RunAsync();
    return 0;
}

int jobs = Number("--jobs", 200), faultCount = Number("--faults", 20), seed = Number("--seed", 1), clients = Number("--clients", 4);
string folder = Directory.CreateTempSubdirectory("ndif-chaos-").FullName;
long began = Stopwatch.GetTimestamp();
await Workload.WriteAllAsync(folder);
int code;
await using (var cluster = new ChaosCluster(folder, clients, jobs, seed)) code = await RunAsync(cluster);
if (!args.Contains("--keep")) Directory.Delete(folder, recursive: true);
return code;

async Task<int> RunAsync(ChaosCluster cluster)
{
    await cluster.StartAsync();
    JobStartLimit.Write(folder, 0);
    cluster.StartClients();
    Say($"the service runs after {Stopwatch.GetElapsedTime(began).TotalSeconds:0.0} s");

    // Each fault has a share of the jobs: half of them may start before the fault, the others during the fault.
    var faults = new FaultInjector(cluster, seed);
    for (int i = 0; i < faultCount; i++)
    {
        int before = (int)((long)jobs * (2 * i + 1) / (2 * faultCount));
        JobStartLimit.Write(folder, Math.Min(jobs, before + clients * 3));
        await Until(() => Ended() >= before - clients * 3 || cluster.Clients.All(client => !client.IsAlive), cluster);
        JobStartLimit.Write(folder, (int)((long)jobs * (i + 1) / faultCount));
        await faults.InjectNextAsync();
        if ((i + 1) % 10 == 0) Say($"{i + 1} faults, {Ended()} jobs ended");
    }
    JobStartLimit.Write(folder, jobs);
    await Until(() => cluster.Clients.All(client => !client.IsAlive), cluster);

    IReadOnlyList<Outcome> history = History();
    IReadOnlyList<string> leaks = await ChaosReport.FindLeaksAsync(
        cluster, history.Count + faults.Followed.Jobs, history.Count(outcome => outcome.Restored) + faults.Followed.Jobs,
        faults.Kills + cluster.ProcessesWithWrongClock.Count);
    foreach (var (worker, early, late) in cluster.MemoryOfWorkers()) Say($"{worker}: {early >> 20} MB, later {late >> 20} MB");
    ChaosReport report = ChaosReport.Create(history, jobs, faults, cluster.FindCrashes(), leaks, Stopwatch.GetElapsedTime(began));
    if (report.Violations + report.Leaks > 0) 
        Say(cluster.Report([.. history.Where(outcome => outcome.Violations.Count > 0).Select(outcome => outcome.Id)]));
    foreach (string detail in report.Details.Take(40)) Say(detail);
    if (args.Contains("--json")) Console.WriteLine(report.ToJson());
    else Console.WriteLine(
        $"{report.Jobs} jobs, {report.Faults} faults: {report.Completed} completed, {report.Failed} failed, {report.Cancelled} "
        + $"cancelled; {report.Violations} violations, {report.Leaks} leaks; "
        + $"{report.Recoveries} recoveries, 95% within {report.RecoveryP95Ms:0} ms, all within {report.RecoveryMaxMs:0} ms");
    return report.Violations + report.Leaks == 0 ? 0 : 1;

    int Ended() => cluster.Clients.Sum(client => client.Lines.Count);

    IReadOnlyList<Outcome> History() =>
        [.. cluster.Clients.SelectMany(client => client.Lines).Where(line => line.StartsWith('{')).Select(Outcome.Parse)];
}

int Number(string name, int otherwise) => Array.IndexOf(args, name) is >= 0 and var at ? int.Parse(args[at + 1]) : otherwise;

static void Say(string what) => Console.Error.WriteLine(what);

static async Task Until(Func<bool> condition, ChaosCluster cluster)
{
    using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
    for (int ticks = 0; !condition(); ticks++)
    {
        await tick.WaitForNextTickAsync();
        if (ticks % 20 == 0) cluster.SampleMemory();
        await cluster.RestartDeadProcessesAsync();
    }
}
