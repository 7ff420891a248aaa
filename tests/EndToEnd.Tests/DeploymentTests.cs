using System.Diagnostics;
using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

/// <summary>
/// Models are deployed and evicted while the service runs, with real processes, real models and the command `ndif models`.
/// </summary>
public sealed class DeploymentTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Fact]
    public async Task ThreeModels_OnAWorkerWithRoomForTwo_ComeWhenTheyAreAskedFor()
    {
        await using IsolatedService own = await IsolatedService.StartAsync(Cluster);
        await WithProcessOutputAsync(own, async () =>
        {
            string[] all = [own.CreateModel("a", 0.5), own.CreateModel("b", 1), own.CreateModel("c", 2)];
            await own.StartWorkerAsync("w1", "--memory", "9MB");
            foreach (string model in all) await own.RunModelsCommandAsync("deploy", model);

            Dictionary<string, Dictionary<string, string>> first = [];
            foreach (int which in (int[])[0, 1, 0, 2, 1, 0])
            {
                var (results, states) = await RunAsync(own, all[which]);
                if (first.TryAdd(all[which], results)) continue;
                Assert.Equal(first[all[which]], results); // the same after it was evicted and loaded again
            }
            Assert.Equal(3, first.Values.Select(r => r["logits"]).Distinct().Count()); // each model has its own results
            foreach (string model in all) Assert.Equal(await RunModelLocallyAsync(model), first[model]);
            await own.WaitForLoadedModelsAsync("w1", "a b"); // c replaced b, then b replaced a, then a replaced c

            var (_, coming) = await RunAsync(own, all[2]);
            Assert.Contains(JobState.Loading, coming);
            await own.WaitForLoadedModelsAsync("w1", "a c"); // b is evicted, because it was used before a
            await own.RunModelsCommandAsync("pin", all[0]);
            var (_, still) = await RunAsync(own, all[2]);
            Assert.DoesNotContain(JobState.Loading, still);
            await RunAsync(own, all[1]);
            await own.WaitForLoadedModelsAsync("w1", "a b"); // c is evicted, because a is pinned
            Assert.Contains("pinned", (await own.RunModelsCommandAsync("list")).Split('\n')
                .Single(line => line.Contains("/a ", StringComparison.Ordinal)), StringComparison.Ordinal);
            await own.RunModelsCommandAsync("unpin", all[0]);
            await RunAsync(own, all[2]);
            await own.WaitForLoadedModelsAsync("w1", "b c");
        });
    }

    [Fact]
    public async Task AModel_IsScaledToTwoWorkersAndBack_AndTakenOver_WhenItsWorkerIsKilled()
    {
        await using IsolatedService own = await IsolatedService.StartAsync(Cluster);
        await WithProcessOutputAsync(own, async () =>
        {
            string model = own.CreateModel("a", 1);
            await own.StartWorkerAsync("w1");
            Assert.Contains("1 of 1", await own.RunModelsCommandAsync("deploy", model, "--pin", "--wait"), StringComparison.Ordinal);
            await own.WaitForLoadedModelsAsync("w1", "a");
            await own.StartWorkerAsync("w2");
            await own.WaitForLoadedModelsAsync("w2", "");
            Assert.Contains("2 of 2", await own.RunModelsCommandAsync("scale", model, "2", "--wait"), StringComparison.Ordinal);
            await own.WaitForLoadedModelsAsync("w2", "a");
            await own.RunModelsCommandAsync("scale", model, "1");
            string kept =
                await Poll.UntilAsync(async () => $"{await own.GetLoadedModelsAsync("w1")}{await own.GetLoadedModelsAsync("w2")}",
                    both => both == "a");
            string holder = await own.GetLoadedModelsAsync("w1") == "a" ? "w1" : "w2", other = holder == "w1" ? "w2" : "w1";

            own.Workers[holder].Kill();
            long killed = Stopwatch.GetTimestamp();
            var (results, _) = await RunAsync(own, model);
            Output.WriteLine($"{kept}: taken over by {other} after {Stopwatch.GetElapsedTime(killed).TotalSeconds:0.0} s");
            Assert.Equal(await RunModelLocallyAsync(model), results);
            await own.WaitForLoadedModelsAsync(other, "a");
        });
    }

    [Fact]
    public async Task ADrainedWorker_EndsItsJob_TakesNoOther_AndItsProcessEndsWell()
    {
        await using IsolatedService own = await IsolatedService.StartAsync(Cluster);
        await WithProcessOutputAsync(own, async () =>
        {
            string model = own.CreateModel("a", 1);
            ChildProcess first = await own.StartWorkerAsync("w1");
            await own.RunModelsCommandAsync("deploy", model, "--pin", "--wait");
            Task<(Dictionary<string, string> Results, List<JobState> States)> running = own.RunAsync(LongJob, model, Cancel);
            await Poll.UntilAsync(() => Status.GetAsync(own.Remote, Cancel), status => status.Running == 1);
            await own.StartWorkerAsync("w2");
            await own.RunModelsCommandAsync("drain", "w1");
            await own.WaitForLoadedModelsAsync("w2", "a");
            await RunAsync(own, model);
            Assert.Equal(1, (await running).States.Count(state => state is JobState.Running)); // the job was not restarted
            Assert.Equal(0, await first.WaitForExitAsync());
            await own.WaitForLoadedModelsAsync("w1", null);
            Assert.Contains("There is no worker `w1`", await own.RunFailingModelsCommandAsync(null, "drain", "w1"),
                StringComparison.Ordinal);
        });
    }

    [Fact]
    public async Task AWorkerThatIsToldToStop_LetsAShortJobEnd_WithinItsGrace()
    {
        await using IsolatedService own = await IsolatedService.StartAsync(Cluster);
        await WithProcessOutputAsync(own, async () =>
        {
            string model = own.CreateModel("a", 1);
            ChildProcess worker = await own.StartWorkerAsync("w1", "--grace-seconds", "60");
            await own.RunModelsCommandAsync("deploy", model, "--wait");
            Task<(Dictionary<string, string> Results, List<JobState> States)> running = own.RunAsync(LongJob, model, Cancel);
            await Poll.UntilAsync(() => Status.GetAsync(own.Remote, Cancel), status => status.Running == 1);
            Assert.Equal(0, await worker.TerminateAsync());
            Assert.Equal([JobState.Received, JobState.Queued, JobState.Running, JobState.Completed], (await running).States);
        });
    }

    [Fact]
    public async Task AnEvictedModel_IsRefused_AndOneThatDoesNotFit_FailsWithTheNumbers()
    {
        await using IsolatedService own = await IsolatedService.StartAsync(Cluster);
        await WithProcessOutputAsync(own, async () =>
        {
            (string a, string b) = (own.CreateModel("a", 1), own.CreateModel("b", 1));
            await own.StartWorkerAsync("w1", "--memory", "6MB");
            await own.RunModelsCommandAsync("deploy", a, "--pin", "--wait");
            await own.RunModelsCommandAsync("deploy", b);
            await Poll.UntilAsync(() => Status.GetAsync(own.Remote, Cancel),
                status => status.Models.Any(m => m.Id == b && m.Error is not null));
            NdifException full = await Assert.ThrowsAnyAsync<NdifException>(() => RunAsync(own, b));
            Assert.Equal(ErrorCode.OutOfMemory, full.Code);
            Assert.Contains("3.97 MB", full.Message, StringComparison.Ordinal);

            await own.RunModelsCommandAsync("evict", a);
            await own.WaitForLoadedModelsAsync("w1", "b");
            Assert.Equal(ErrorCode.UnknownModel, (await Assert.ThrowsAnyAsync<NdifException>(() => RunAsync(own, a))).Code);
            await RunAsync(own, b);
        });
    }

    [Fact]
    public async Task Sync_PrintsWhatChanges_ThenDoesIt()
    {
        await using IsolatedService own = await IsolatedService.StartAsync(Cluster);
        await WithProcessOutputAsync(own, async () =>
        {
            (string a, string b, string c) = (own.CreateModel("a", 1), own.CreateModel("b", 1), own.CreateModel("c", 1));
            await own.StartWorkerAsync("w1", "--memory", "9MB");
            string file = Path.Combine(Cluster.DataFolder, "models.yaml");
            await WriteAsync($"models:\n  - {a}\n  - model: {b}\n    pinned: true\n    dtype: bfloat16\n");
            string[] dry = (await own.RunModelsCommandAsync("sync", file, "--dry-run")).Split('\n');
            Assert.Equal([$"+ {a}: 1 replica", $"+ {b}: pinned, 1 replica, bfloat16"], dry);
            Assert.Empty(await Deployments.ListAsync(own.Remote, Cancel));
            Assert.Equal(dry, (await own.RunModelsCommandAsync("sync", file)).Split('\n'));
            await own.WaitForLoadedModelsAsync("w1", "a b");
            Assert.Equal("Nothing changes.", await own.RunModelsCommandAsync("sync", file));

            await WriteAsync($"models:\n  - model: {b}\n    replicas: 2\n    dtype: bfloat16\n  - {c}\n");
            Assert.Equal(
                [$"~ {b}: not pinned any more, replicas 1 -> 2", $"+ {c}: 1 replica", $"= {a}: not in the file; --prune takes it off"],
                (await own.RunModelsCommandAsync("sync", file)).Split('\n'));
            Assert.Equal($"- {a}", await own.RunModelsCommandAsync("sync", file, "--prune"));
            await own.WaitForLoadedModelsAsync("w1", "b c");

            await WriteAsync($"models:\n  - model: {b}\n    replica: 2\n");
            string wrong = await own.RunFailingModelsCommandAsync(null, "sync", file);
            Assert.Contains("line 3", wrong, StringComparison.Ordinal);
            Assert.Contains("Did you mean `replicas`?", wrong, StringComparison.Ordinal);
            Assert.Equal(2, (await Deployments.ListAsync(own.Remote, Cancel)).Count);

            Task WriteAsync(string text) => File.WriteAllTextAsync(file, text, Cancel);
        });
    }

    [Fact]
    public async Task AKeyThatMayOnlyRun_MayLookAndChangeNothing()
    {
        await using IsolatedService own = await IsolatedService.StartAsync(Cluster);
        await WithProcessOutputAsync(own, async () =>
        {
            string key = await own.CreateKeyAsync("own");
            foreach (string line in (string[])["deploy x", "pin x", "evict x", "drain w1"])
                Assert.Contains("has no scope `operator`", await own.RunFailingModelsCommandAsync(key, line.Split(' ')),
                    StringComparison.Ordinal);
            Assert.Empty(await Deployments.ListAsync(Backend.At(own.Grpc.ToString(), key), Cancel));
            Assert.Contains("Nobody deployed x", await own.RunFailingModelsCommandAsync(null, "unpin", "x"), StringComparison.Ordinal);
        });
    }

    private static Task<(Dictionary<string, string> Results, List<JobState> States)> RunAsync(IsolatedService own, string model) =>
        own.RunAsync("states", model, Cancel);

    private static async Task<Dictionary<string, string>> RunModelLocallyAsync(string model)
    {
        using RecordedExperiment recorded = Experiments.Record("states", Backend.Local, model);
        return (await recorded.RunAsync(Cancel)).ToDictionary(result => result.Key, result => result.Value.Checksum());
    }
}
