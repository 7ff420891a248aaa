using Ndif.Protocol;

namespace Ndif.EndToEnd;

public sealed class JobsCommandTests(Cluster cluster, ITestOutputHelper output) : ClusterTests(cluster, output)
{
    [Fact]
    public async Task Jobs_ListsShowsAndCancels_TheCallersOwn()
    {
        string key = await Cluster.NewKeyAsync("Jobs");
        Job job;
        using (Recorded recorded = Experiments.Record("endless", Backend.At(Cluster.Grpc.ToString(), key))) job = await recorded.Trace.SubmitAsync(Cancel);

        Assert.Contains(job.Id, await JobsAsync(key, "--active"), StringComparison.Ordinal);
        Assert.DoesNotContain(job.Id, await JobsAsync(Cluster.Key, "list", "--limit", "1000"), StringComparison.Ordinal);
        Assert.Contains($"model      {Experiments.Model}", await JobsAsync(key, "show", job.Id), StringComparison.Ordinal);
        Assert.StartsWith($"{job.Id}: cancelled", await JobsAsync(key, "cancel", job.Id), StringComparison.Ordinal);
        Assert.DoesNotContain(job.Id, await JobsAsync(key, "list", "--active"), StringComparison.Ordinal);
        JobInfo info = JobInfo.Parser.ParseJson(await JobsAsync(key, "show", job.Id, "--json"));
        Assert.Equal((job.Id, JobState.Cancelled), (info.Id, info.State));
        await using Child others = Tool(Cluster.Key, "show", job.Id);
        Assert.Equal(1, await others.EndAsync());
        Assert.Contains("There is no job", others.Errors, StringComparison.Ordinal);
    }

    /// <summary>Both workers are kept busy by sixteen endless jobs (each takes eight at once); the one that waits behind them hears how it moves up.</summary>
    [Fact]
    public async Task JobsWatch_TellsAWaitingJobsPosition_AndItsEnd()
    {
        string key = await Cluster.NewKeyAsync("Watch");
        Backend there = Backend.At(Cluster.Grpc.ToString(), key);
        List<Job> busy = [];
        for (int i = 0; i < 18; i++)
            using (Recorded recorded = Experiments.Record("endless", there)) busy.Add(await recorded.Trace.SubmitAsync(Cancel));
        Job last;
        using (Recorded recorded = Experiments.Record("states", there)) last = await recorded.Trace.SubmitAsync(Cancel);
        await using Child watch = Tool(key, "watch", last.Id);
        string first = await watch.LineAsync(line => line.Contains("queued (position ", StringComparison.Ordinal), "its position");
        Assert.DoesNotContain("position 1", first, StringComparison.Ordinal);
        // those that wait before it, the youngest first
        foreach (Job job in Enumerable.Reverse(busy)) await job.CancelAsync(Cancel);
        Assert.Equal(0, await watch.EndAsync());
        string[] told = [.. watch.Lines.Where(line => line.Contains("queued", StringComparison.Ordinal))];
        Assert.EndsWith("completed", watch.Lines[^1], StringComparison.Ordinal);
        Assert.Contains("received", watch.Lines[0], StringComparison.Ordinal);
        Assert.NotEmpty(told);
    }

    [Fact]
    public async Task AJobThatKillsItsWorkers_IsADeadLetter_ThatAnOperatorRunsAgain()
    {
        string admin = await Cluster.NewKeyAsync("Operator", "--admin");
        await using Child client = Cluster.User(Cluster.Key, "submit", LongJob);
        string id = (await client.ToldAsync(told => told.What == "job", "its job")).Name;
        await using Child watch = Cluster.User(Cluster.Key, "watch", id);
        for (uint attempt = 1; attempt <= 3; attempt++)
        {
            string victim = (await watch.StateAsync(JobState.Running, attempt)).Worker;
            Cluster.Workers[victim].Kill();
            await Cluster.Workers[victim].EndAsync();
            await Cluster.ReadyAsync();
        }
        Assert.Equal(JobState.Failed, (await watch.StateAsync(JobState.Failed)).State);

        Assert.Contains(id, await JobsAsync(admin, "dead"), StringComparison.Ordinal);
        await using (Child refused = Tool(Cluster.Key, "dead"))
        {
            Assert.Equal(1, await refused.EndAsync());
            Assert.Contains("has no scope `operator`", refused.Errors, StringComparison.Ordinal);
        }
        string again = (await JobsAsync(admin, "requeue", id)).Split(' ')[^1].TrimEnd('.');
        Assert.DoesNotContain(id, await JobsAsync(admin, "dead"), StringComparison.Ordinal);
        await using Child second = Cluster.User(Cluster.Key, "watch", again);
        List<Told> told = await second.AllAsync();
        Assert.Contains(told, one => one.State == JobState.Completed);
        // the worker names results by node, this process by name: the same bytes in the same order
        Assert.Equal((await HereAsync(LongJob)).Values.Order(StringComparer.Ordinal), told.Where(one => one.What == "result").Select(one => one.Checksum).Order(StringComparer.Ordinal));
    }

    private async Task<string> JobsAsync(string key, params string[] arguments)
    {
        await using Child jobs = Tool(key, arguments);
        Assert.True(await jobs.EndAsync() == 0, jobs.Report());
        return string.Join('\n', jobs.Lines);
    }

    private Child Tool(string key, params string[] arguments) => Cluster.Tool(["jobs", .. arguments, "--host", Cluster.Grpc.ToString(), "--key", key]);
}
