using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

public sealed class JobTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Fact]
    public async Task ASubmittedJob_GoesOnWithoutItsClient_AndAnotherProcessGetsEverything()
    {
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, "submit", "slow:100");
        string id = (await client.ReadAllMessagesAsync())[0].Name;
        await using ChildProcess all = Cluster.StartClient(Cluster.Key, "watch", id),
            some = Cluster.StartClient(Cluster.Key, "watch", id, "4");
        List<ClientMessage> events = [.. (await all.ReadAllMessagesAsync()).Where(message => message.Kind == "event")];
        Assert.Equal(Enumerable.Range(1, events.Count).Select(i => (ulong)i), events.Select(message => message.Sequence));
        Assert.Equal([JobState.Received, JobState.Queued, JobState.Running, JobState.Completed],
            events.Where(message => message.State is not null).Select(message => message.State!.Value));
        Assert.Equal(await RunLocallyAsync("slow:100"), await all.GetResultChecksumsAsync());
        Assert.Equal(events[3..], (await some.ReadAllMessagesAsync()).Where(message => message.Kind == "event"));
        await using ChildProcess get = Cluster.StartClient(Cluster.Key, "get", id);
        Assert.Equal(JobState.Completed, (await get.ReadAllMessagesAsync())[0].State);
    }

    [Fact]
    public async Task AJob_IsNobodyElses()
    {
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, "submit", "prompt:0");
        string id = (await client.ReadAllMessagesAsync())[0].Name;
        await using ChildProcess thief = Cluster.StartClient(await Cluster.CreateKeyAsync("somebody else"), "get", id);
        Assert.Contains($"There is no job `{id}` of yours.", (await thief.GetErrorAsync()).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AWaitingJob_IsCancelledAtOnce_AndARunningOneStops()
    {
        // as many as both workers run at a time (--max-batch)
        Job[] running = await Task.WhenAll(Enumerable.Range(0, Cluster.Workers.Count * 16).Select(async _ => await SubmitAsync("endless")));
        foreach (Job job in running) await RunningAsync(job);
        Job waiting = await SubmitAsync("endless");
        Assert.Equal(JobState.Queued, (await waiting.GetAsync(Cancel)).State);

        await using ChildProcess cancel = Cluster.StartClient(Cluster.Key, "cancel", waiting.Id);
        Assert.Equal(JobState.Cancelled, (await cancel.ReadAllMessagesAsync())[0].State);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(Cancel));

        foreach (Job job in running)
        {
            Assert.Equal(JobState.Cancelled, (await job.CancelAsync(Cancel)).State);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => job.WaitAsync(Cancel));
        }
        // both workers are free again; otherwise these jobs would wait for minutes
        await Task.WhenAll(RunRemotelyAsync("prompt:0"), RunRemotelyAsync("prompt:1")).WaitAsync(TimeSpan.FromSeconds(20), Cancel);
    }

    [Fact]
    public async Task AClientKilledWhileItWaits_CancelsItsJob()
    {
        string key = await Cluster.CreateKeyAsync("to be killed");
        await using ChildProcess client = Cluster.StartClient(key, "run", "endless");
        await client.WaitForStateAsync(JobState.Running);
        client.Kill();
        var headers = new Grpc.Core.Metadata { { "authorization", $"Bearer {key}" } };
        JobInfo job = await Poll.UntilAsync(
            async () => (await RawClient.ListJobsAsync(new ListJobsRequest(), headers, cancellationToken: Cancel)).Jobs.Single(),
            job => job.State is not JobState.Running);
        Assert.Equal(JobState.Cancelled, job.State);
    }

    [Fact]
    public async Task ARunUnderAnId_GoesOnWhenItsClientIsKilled_AndTheSameProgramGetsItsResults()
    {
        string id = $"resumed-{Guid.NewGuid():N}";
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, "resume", id, LongJob);
        await client.WaitForStateAsync(JobState.Running);
        client.Kill();

        await using ChildProcess again = Cluster.StartClient(Cluster.Key, "resume", id, LongJob);
        Assert.Equal(await RunLocallyAsync(LongJob), await again.GetResultChecksumsAsync());
        Job job = await Job.AttachAsync(id, Cluster.Remote, Cancel);
        Assert.Equal((JobState.Completed, 1u), ((await job.GetAsync(Cancel)).State, (await job.GetAsync(Cancel)).Attempt));

        // after its end too
        await using ChildProcess ended = Cluster.StartClient(Cluster.Key, "resume", id, LongJob);
        Assert.Equal(await RunLocallyAsync(LongJob), await ended.GetResultChecksumsAsync());
        await using ChildProcess other = Cluster.StartClient(Cluster.Key, "resume", id, "prompt:0");
        Assert.Contains(id, (await other.GetErrorAsync()).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ARunUnderAnId_IsCancelledByItsToken()
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        using RecordedExperiment recorded = Experiments.Record("endless", Cluster.Remote);
        recorded.Trace.JobId = $"cancelled-{Guid.NewGuid():N}";
        recorded.Trace.OnEvent = jobEvent =>
        {
            if (jobEvent.State is JobState.Running) cancel.Cancel();
        };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => recorded.RunAsync(cancel.Token));
        Job job = await Job.AttachAsync(recorded.Trace.JobId!, Cluster.Remote, Cancel);
        Assert.Equal(JobState.Cancelled, (await job.GetAsync(Cancel)).State);
    }

    [Fact]
    public async Task OnATerminal_ARunShowsWhatItWaitsFor_AndErasesIt()
    {
        // script (util-linux) runs a program on a terminal, and writes what the program writes
        await using ChildProcess client = ChildProcess.Start("client on a terminal", "script",
            ["-qec", $"dotnet {BuildOutput.Client} run {LongJob}", "/dev/null"],
            ("NDIF_HOST", Cluster.Grpc.ToString()), ("NDIF_API_KEY", Cluster.Key));
        Assert.Equal(0, await client.WaitForExitAsync());
        string written = string.Join('\n', client.Lines);
        Assert.Contains("\e[Krunning [1 s]", written, StringComparison.Ordinal);
        string last = written[(written.LastIndexOf("\e[K", StringComparison.Ordinal) + 3)..];
        Assert.StartsWith("{", last, StringComparison.Ordinal); // the next message of the program, not the line
        Assert.Contains("\"end\"", last, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ARun_HasItsJobsId()
    {
        using RecordedExperiment recorded = Experiments.Record("prompt:0", Cluster.Remote);
        Assert.Null(recorded.Trace.JobId);
        await recorded.RunAsync(Cancel);
        Job job = await Job.AttachAsync(recorded.Trace.JobId!, Cluster.Remote, Cancel);
        Assert.Equal(JobState.Completed, (await job.GetAsync(Cancel)).State);
    }

    [Fact]
    public async Task ARunThatIsCancelled_CancelsItsJob()
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        using RecordedExperiment recorded = Experiments.Record("endless", Cluster.Remote);
        recorded.Trace.OnEvent = jobEvent =>
        {
            if (jobEvent.State is JobState.Running) cancel.Cancel();
        };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => recorded.RunAsync(cancel.Token));
        await Poll.UntilAsync(async () =>
            (await RawClient.ListJobsAsync(new ListJobsRequest { ActiveOnly = true }, KeyMetadata, cancellationToken: Cancel)).Jobs,
            jobs => jobs.Count == 0);
    }

    private async Task<Job> SubmitAsync(string experiment)
    {
        using RecordedExperiment recorded = Experiments.Record(experiment, Cluster.Remote);
        return await recorded.Trace.SubmitAsync(Cancel);
    }

    private static async Task<Job> RunningAsync(Job job)
    {
        await foreach (JobEvent jobEvent in job.Events(cancellationToken: Cancel))
            if (jobEvent.State is JobState.Running) return job;
        throw new InvalidOperationException("The job did not run.");
    }
}
