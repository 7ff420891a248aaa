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

    [Fact]
    public async Task JobsWatch_TellsWhatHappens_ToTheEnd()
    {
        Job job;
        using (Recorded recorded = Experiments.Record("generate:12", Cluster.Remote)) job = await recorded.Trace.SubmitAsync(Cancel);
        await using Child watch = Tool(Cluster.Key, "watch", job.Id), json = Tool(Cluster.Key, "watch", job.Id, "--json");
        Assert.Equal(0, await watch.EndAsync());
        Assert.Equal(["received", "queued", "running", "value:", "completed"], watch.Lines.Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]));
        Assert.Matches(@"queued \(position \d+(, about [\d.]+ s)?\)$", watch.Lines[1]);
        Assert.Equal(0, await json.EndAsync());
        Assert.Equal([1ul, 2ul, 3ul, 4ul, 5ul], json.Lines.Select(line => Event.Parser.ParseJson(line).Sequence));
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
