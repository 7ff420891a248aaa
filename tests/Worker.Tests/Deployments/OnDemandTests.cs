using Ndif.Protocol;
using Ndif.Worker.Tests.Support;


namespace Ndif.Worker.Tests.Deployments;

public sealed class OnDemandTests
{
    [Fact]
    public async Task ADeployedModel_IsLoaded_WhenAJobWaits_WhichIsToldSo()
    {
        await using var cluster = new WorkerTestCluster();
        (string a, string b) = (cluster.NewModel("a"), cluster.NewModel("b"));
        await cluster.StartWorkerAsync(modelCapacity: 1);
        await cluster.DeployAsync(a, pinned: false);
        await cluster.WaitForLoadedModelsAsync("a"); // free memory
        await cluster.DeployAsync(b);
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(b), status => status is { Heat: Heat.Cold, Error: null });
        Assert.Equal("GPT2LMHeadModel", (await cluster.Backend.Workers.GetDescriptionAsync(b, WorkerTestCluster.Cancel))!.Architecture);
        Assert.Equal("a", await cluster.GetLoadedModelsAsync()); // no job waits for b, so it does not evict a

        List<Event> events = await cluster.RunAsync(b);
        Assert.Equal([JobState.Received, JobState.Queued, JobState.Loading, JobState.Running, JobState.Completed],
            WorkerTestCluster.GetStates(events));
        Progress[] progress = [.. events.Where(e => e.Progress is not null).Select(e => e.Progress)];
        Assert.NotEmpty(progress);
        Assert.All(progress, p => Assert.InRange(p.Done, 0ul, p.Total));
        await cluster.WaitForLoadedModelsAsync("b");
    }

    [Fact]
    public async Task ThreeModels_InRoomForTwo_TheLeastRecentlyUsedGoes()
    {
        await using var cluster = new WorkerTestCluster();
        string[] all = [cluster.NewModel("a"), cluster.NewModel("b"), cluster.NewModel("c")];
        await cluster.StartWorkerAsync(modelCapacity: 2);
        foreach (string model in all) await cluster.DeployAsync(model);
        await cluster.RunAsync(all[0]);
        await cluster.RunAsync(all[1]);
        await cluster.RunAsync(all[0]);
        await cluster.WaitForLoadedModelsAsync("a b");
        await cluster.RunAsync(all[2]);
        await cluster.WaitForLoadedModelsAsync("a c"); // b was used before a
        await cluster.RunAsync(all[1]);
        await cluster.WaitForLoadedModelsAsync("b c");
        await cluster.RunAsync(all[0]);
        await cluster.WaitForLoadedModelsAsync("a b");
    }

    [Fact]
    public async Task APinnedModel_Stays_HoweverLongItWasNotUsed()
    {
        await using var cluster = new WorkerTestCluster();
        string[] all = [cluster.NewModel("a"), cluster.NewModel("b"), cluster.NewModel("c")];
        await cluster.StartWorkerAsync(modelCapacity: 2);
        await cluster.DeployAsync(all[0], pinned: true);
        await cluster.WaitForLoadedModelsAsync("a");
        foreach (string model in all[1..]) await cluster.DeployAsync(model);
        for (int round = 0; round < 2; round++)
        {
            await cluster.RunAsync(all[1]);
            await cluster.WaitForLoadedModelsAsync("a b");
            await cluster.RunAsync(all[2]);
            await cluster.WaitForLoadedModelsAsync("a c");
        }
        await cluster.DeployAsync(all[0], pinned: false);
        await cluster.RunAsync(all[1]);
        await cluster.WaitForLoadedModelsAsync("b c");
    }

    [Fact]
    public async Task AModelThatTheWorkerWasStartedWith_Stays()
    {
        await using var cluster = new WorkerTestCluster();
        string[] all = [cluster.NewModel("a"), cluster.NewModel("b"), cluster.NewModel("c")];
        await cluster.StartWorkerAsync(modelCapacity: 2, configure: options => options with { Models = [all[0]] });
        foreach (string model in all[1..]) await cluster.DeployAsync(model);
        await cluster.RunAsync(all[1]);
        await cluster.RunAsync(all[2]);
        await cluster.WaitForLoadedModelsAsync("a c");
        await cluster.RunAsync(all[0]);
    }

    [Fact]
    public async Task AModelThatMakesRoom_EndsItsRunningJob_AndKeepsItsWaitingOnes()
    {
        await using var cluster = new WorkerTestCluster();
        (string a, string b) = (cluster.NewModel("a"), cluster.NewModel("b"));
        await cluster.StartWorkerAsync(modelCapacity: 1, configure: options => options with { MaxBatch = 1 });
        await cluster.DeployAsync(a);
        await cluster.DeployAsync(b);
        string running = await cluster.SubmitAsync(a, operations: 1500);
        await cluster.WaitForStateAsync(running, JobState.Running);
        string waiting = await cluster.SubmitAsync(a);
        string other = await cluster.SubmitAsync(b);
        foreach (string job in (string[])[running, waiting, other])
            Assert.Equal(JobState.Completed, (await cluster.WaitForEndAsync(job)).State);
        var states = cluster.States;
        Assert.True(Array.IndexOf(states, (running, JobState.Completed)) < Array.IndexOf(states, (other, JobState.Running)),
            string.Join(", ", states));
        Assert.Equal(1, states.Count(s => s == (running, JobState.Running))); // it was not interrupted
    }

    [Fact]
    public async Task WhileAModelIsLoaded_OthersGoOn()
    {
        await using var cluster = new WorkerTestCluster();
        (string a, string b) = (cluster.NewModel("a"), cluster.NewModel("b"));
        await cluster.StartWorkerAsync(modelCapacity: 2);
        await cluster.DeployAsync(a);
        await cluster.RunAsync(a);
        string running = await cluster.SubmitAsync(a, operations: 1500);
        await cluster.WaitForStateAsync(running, JobState.Running);
        await cluster.DeployAsync(b);
        await cluster.RunAsync(b);
        Assert.DoesNotContain((running, JobState.Completed), cluster.States);
        Assert.Equal(JobState.Completed, (await cluster.WaitForEndAsync(running)).State);
    }

    [Fact]
    public async Task AYoungModel_IsNotPushedOut_BeforeItWasWorthItsLoading()
    {
        await using var cluster = new WorkerTestCluster();
        (string a, string b) = (cluster.NewModel("a"), cluster.NewModel("b"));
        await cluster.StartWorkerAsync(modelCapacity: 1, configure: options => options with { MinResidence = TimeSpan.FromSeconds(2) });
        await cluster.DeployAsync(a);
        await cluster.RunAsync(a);
        await cluster.DeployAsync(b);
        string job = await cluster.SubmitAsync(b);
        await cluster.RunAsync(a); // still loaded
        Assert.Equal(JobState.Completed, (await cluster.WaitForEndAsync(job)).State);
        List<Event> events = await cluster.GetEventsAsync(job);
        TimeSpan waited = events.First(e => e.State?.State == JobState.Loading).Time.ToDateTimeOffset() - events[0].Time.ToDateTimeOffset();
        Assert.InRange(waited.TotalSeconds, 1, 20);
    }

    [Fact]
    public async Task AModelThatNeverFits_FailsItsJobs_WithTheNumbers()
    {
        await using var cluster = new WorkerTestCluster();
        string huge = cluster.NewModel("huge", hiddenSize: 64), a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(modelCapacity: 2);
        await cluster.DeployAsync(huge);
        StateChanged end = await cluster.WaitForEndAsync(await cluster.SubmitAsync(huge));
        Assert.Equal((JobState.Failed, ErrorCode.OutOfMemory), (end.State, end.Error.Code));
        Assert.Contains("w1", end.Error.Message, StringComparison.Ordinal);
        Assert.NotEmpty(end.Error.Hint);
        Assert.Equal(ErrorCode.OutOfMemory, (await cluster.GetStatusAsync(huge))!.Error.Code);
        await cluster.DeployAsync(a);
        await cluster.RunAsync(a);
    }

    [Fact]
    public async Task AModelForWhichPinnedOnesLeaveNoRoom_FailsItsJobs_UntilOneIsUnpinned()
    {
        await using var cluster = new WorkerTestCluster();
        (string a, string b) = (cluster.NewModel("a"), cluster.NewModel("b"));
        await cluster.StartWorkerAsync(modelCapacity: 1);
        await cluster.DeployAsync(a, pinned: true);
        await cluster.WaitForLoadedModelsAsync("a");
        await cluster.DeployAsync(b);
        Assert.Equal(ErrorCode.OutOfMemory, (await cluster.WaitForEndAsync(await cluster.SubmitAsync(b))).Error.Code);
        await cluster.DeployAsync(a, pinned: false);
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(b), status => status!.Error is null);
        await cluster.RunAsync(b);
    }

    [Fact]
    public async Task ABrokenModel_FailsItsJobs_IsNotTriedAgainAndAgain_AndComesWhenItIsMended()
    {
        await using var cluster = new WorkerTestCluster();
        string broken = cluster.NewModel("broken"), weights = Path.Combine(broken, "model.safetensors");
        byte[] whole = await File.ReadAllBytesAsync(weights, WorkerTestCluster.Cancel);
        await File.WriteAllBytesAsync(weights, whole[..^100], WorkerTestCluster.Cancel);
        await cluster.StartWorkerAsync();
        await cluster.DeployAsync(broken);
        for (int i = 0; i < 5; i++)
        {
            StateChanged end = await cluster.WaitForEndAsync(await cluster.SubmitAsync(broken));
            Assert.Equal((JobState.Failed, ErrorCode.BadCheckpoint), (end.State, end.Error.Code));
        }
        Assert.Equal(1, cluster.Logs.Count("cannot be held here"));
        Assert.Equal(ErrorCode.BadCheckpoint, (await cluster.GetStatusAsync(broken))!.Error.Code);
        await File.WriteAllBytesAsync(weights, whole, WorkerTestCluster.Cancel);
        await cluster.DeployAsync(broken); // a new deployment retries the load
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(broken), status => status!.Error is null);
        await cluster.RunAsync(broken);
    }

    [Fact]
    public async Task AModelThatIsNowhere_FailsItsJobs()
    {
        await using var cluster = new WorkerTestCluster();
        await cluster.StartWorkerAsync();
        await cluster.DeployAsync("../no/such/model");
        StateChanged end = await cluster.WaitForEndAsync(await cluster.SubmitAsync("../no/such/model"));
        Assert.Equal((JobState.Failed, ErrorCode.UnknownModel), (end.State, end.Error.Code));
    }

    [Fact]
    public async Task AModelThatIsKeptWarm_ComesBackWithoutBeingLoaded()
    {
        await using var cluster = new WorkerTestCluster();
        string[] all = [cluster.NewModel("a"), cluster.NewModel("b"), cluster.NewModel("c")];
        await cluster.StartWorkerAsync(modelCapacity: 1, offloadCapacity: 1);
        foreach (string model in all) await cluster.DeployAsync(model);
        await cluster.RunAsync(all[0]);
        int loads = cluster.Logs.Count("Loading ");
        await cluster.RunAsync(all[1]);
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(all[0]), status => status is { Heat: Heat.Warm });
        await cluster.RunAsync(all[0]);
        Assert.Equal(loads + 1, cluster.Logs.Count("Loading "));
        await cluster.RunAsync(all[2]); // a is offloaded now, and displaced b
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(all[1]), status => status is { Heat: Heat.Cold });
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(all[0]), status => status is { Heat: Heat.Warm });
    }

    [Fact]
    public async Task ADeployedType_IsLoadedSo_AndAnotherOneLater()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync();
        await cluster.DeployAsync(a, dtype: DataType.Bfloat16);
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(a), status => status is { Heat: Heat.Hot, Dtype: DataType.Bfloat16 });
        Assert.Equal(cluster.ModelBytes / 2, (long)(await cluster.GetStatusAsync(a))!.Bytes);
        await cluster.DeployAsync(a, dtype: DataType.Float32);
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(a), status => status is { Heat: Heat.Hot, Dtype: DataType.Float32 });
        await cluster.RunAsync(a);
    }

    [Fact]
    public async Task AModelThatIsWantedNoMore_Goes_AfterItsRunningJob()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync();
        await cluster.DeployAsync(a);
        string job = await cluster.SubmitAsync(a, operations: 800);
        await cluster.WaitForStateAsync(job, JobState.Running);
        await cluster.Backend.Deployments.RemoveAsync(a, WorkerTestCluster.Cancel);
        Assert.Equal(JobState.Completed, (await cluster.WaitForEndAsync(job)).State);
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(a), status => status is null);
        await cluster.WaitForLoadedModelsAsync("");
    }

    [Fact]
    public async Task AnEvictedModel_StaysAway_UntilAJobWaits()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync();
        await cluster.DeployAsync(a);
        await cluster.WaitForLoadedModelsAsync("a");
        await cluster.Backend.Deployments.SendOrderAsync("w1", new WorkerOrder { Evict = a }, WorkerTestCluster.Cancel);
        await cluster.WaitForLoadedModelsAsync("");
        await cluster.WaitUntilAsync(() => cluster.GetStatusAsync(a), status => status is { Heat: Heat.Cold, Loading: 0 });
        int loads = cluster.Logs.Count("Loading ");
        await cluster.RunAsync(a);
        Assert.Equal(loads + 1, cluster.Logs.Count("Loading "));
    }
}
