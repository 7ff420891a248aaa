using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

public sealed class JobsCommandTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Fact]
    public async Task Jobs_ListsShowsAndCancels_TheCallersOwn()
    {
        string key = await Cluster.CreateKeyAsync("Jobs");
        Job job;
        using (RecordedExperiment recorded = Experiments.Record("endless", Backend.At(Cluster.Grpc.ToString(), key)))
            job = await recorded.Trace.SubmitAsync(Cancel);

        Assert.Contains(job.Id, await RunJobsCommandAsync(key, "--active"), StringComparison.Ordinal);
        Assert.DoesNotContain(job.Id, await RunJobsCommandAsync(Cluster.Key, "list", "--limit", "1000"), StringComparison.Ordinal);
        Assert.Contains($"model      {Experiments.Model}", await RunJobsCommandAsync(key, "show", job.Id), StringComparison.Ordinal);
        Assert.StartsWith($"{job.Id}: cancelled", await RunJobsCommandAsync(key, "cancel", job.Id), StringComparison.Ordinal);
        Assert.DoesNotContain(job.Id, await RunJobsCommandAsync(key, "list", "--active"), StringComparison.Ordinal);
        JobInfo info = JobInfo.Parser.ParseJson(await RunJobsCommandAsync(key, "show", job.Id, "--json"));
        Assert.Equal((job.Id, JobState.Cancelled), (info.Id, info.State));
        await using ChildProcess others = StartJobsCommand(Cluster.Key, "show", job.Id);
        Assert.Equal(1, await others.WaitForExitAsync());
        Assert.Contains("There is no job", others.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task JobsWatch_TellsWhatHappens_ToTheEnd()
    {
        Job job;
        using (RecordedExperiment recorded = Experiments.Record("generate:12", Cluster.Remote))
            job = await recorded.Trace.SubmitAsync(Cancel);
        await using ChildProcess watch = StartJobsCommand(Cluster.Key, "watch", job.Id),
            json = StartJobsCommand(Cluster.Key, "watch", job.Id, "--json");
        Assert.Equal(0, await watch.WaitForExitAsync());
        Assert.Equal(["received", "queued", "running", "value:", "completed"],
            watch.Lines.Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]));
        Assert.Matches(@"queued \(position \d+(, about [\d.]+ s)?\)$", watch.Lines[1]);
        Assert.Equal(0, await json.WaitForExitAsync());
        Assert.Equal([1ul, 2ul, 3ul, 4ul, 5ul], json.Lines.Select(line => Event.Parser.ParseJson(line).Sequence));
    }

    [Fact]
    public async Task AJobThatKillsItsWorkers_IsADeadLetter_ThatAnOperatorRunsAgain()
    {
        string admin = await Cluster.CreateKeyAsync("Operator", "--admin");
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, "submit", LongJob);
        string id = (await client.WaitForMessageAsync(message => message.Kind == "job", "its job")).Name;
        await using ChildProcess watch = Cluster.StartClient(Cluster.Key, "watch", id);
        for (uint attempt = 1; attempt <= 3; attempt++)
        {
            string victim = (await watch.WaitForStateAsync(JobState.Running, attempt)).Worker;
            Cluster.Workers[victim].Kill();
            await Cluster.Workers[victim].WaitForExitAsync();
            await Cluster.EnsureRunningAsync();
        }
        Assert.Equal(JobState.Failed, (await watch.WaitForStateAsync(JobState.Failed)).State);

        Assert.Contains(id, await RunJobsCommandAsync(admin, "dead"), StringComparison.Ordinal);
        await using (ChildProcess refused = StartJobsCommand(Cluster.Key, "dead"))
        {
            Assert.Equal(1, await refused.WaitForExitAsync());
            Assert.Contains("has no scope `operator`", refused.Errors, StringComparison.Ordinal);
        }
        string again = (await RunJobsCommandAsync(admin, "requeue", id)).Split(' ')[^1].TrimEnd('.');
        Assert.DoesNotContain(id, await RunJobsCommandAsync(admin, "dead"), StringComparison.Ordinal);
        await using ChildProcess second = Cluster.StartClient(Cluster.Key, "watch", again);
        List<ClientMessage> told = await second.ReadAllMessagesAsync();
        Assert.Contains(told, one => one.State == JobState.Completed);
        // the worker names the results by node and this process by name, so the sorted checksums are compared
        Assert.Equal((await RunLocallyAsync(LongJob)).Values.Order(StringComparer.Ordinal),
            told.Where(one => one.Kind == "result").Select(one => one.Checksum).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Kill_CancelsAJobThatReacts_AndNeedsTheScopeOfAnOperator()
    {
        string operatorKey = await Cluster.CreateKeyAsync("Killer", "--operator");
        Job job;
        using (RecordedExperiment recorded = Experiments.Record("endless", Cluster.Remote))
            job = await recorded.Trace.SubmitAsync(Cancel);
        await using (ChildProcess refused = StartJobsCommand(Cluster.Key, "kill", job.Id))
            Assert.Equal(1, await refused.WaitForExitAsync());
        Assert.StartsWith($"{job.Id}: cancelled", await RunJobsCommandAsync(operatorKey, "kill", job.Id), StringComparison.Ordinal);
        Assert.All(Cluster.Workers.Values, worker => Assert.True(worker.IsAlive));
    }

    private async Task<string> RunJobsCommandAsync(string key, params string[] arguments)
    {
        await using ChildProcess jobs = StartJobsCommand(key, arguments);
        Assert.True(await jobs.WaitForExitAsync() == 0, jobs.FormatOutput());
        return string.Join('\n', jobs.Lines);
    }

    private ChildProcess StartJobsCommand(string key, params string[] arguments) =>
        Cluster.StartTool(["jobs", .. arguments, "--host", Cluster.Grpc.ToString(), "--key", key]);
}
