using Ndif.Protocol;
using Ndif.Worker.Tests.Support;


namespace Ndif.Worker.Tests.Deployments;

public sealed class OnDemandTests
{
    [Fact]
    public async Task ADeployedModel_IsLoaded_WhenAJobWaits_WhichIsToldSo()
    {
        await using var stage = new WorkerTestCluster();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartWorkerAsync(modelCapacity: 1);
        await stage.DeployAsync(a, pinned: false);
        await stage.WaitForLoadedModelsAsync("a"); // memory that nobody uses
        await stage.DeployAsync(b);
        await stage.WaitUntilAsync(() => stage.GetStatusAsync(b), status => status is { Heat: Heat.Cold, Error: null });
        Assert.Equal("GPT2LMHeadModel", (await stage.Backend.Workers.GetDescriptionAsync(b, WorkerTestCluster.Cancel))!.Architecture);
        Assert.Equal("a", await stage.GetLoadedModelsAsync()); // nobody asks for b: it does not push a out

        List<Event> events = await stage.RunAsync(b);
        Assert.Equal([JobState.Received, JobState.Queued, JobState.Loading, JobState.Running, JobState.Completed], WorkerTestCluster.GetStates(events));
        Progress[] progress = [.. events.Where(e => e.Progress is not null).Select(e => e.Progress)];
        Assert.NotEmpty(progress);
        Assert.All(progress, p => Assert.InRange(p.Done, 0ul, p.Total));
        await stage.WaitForLoadedModelsAsync("b");
    }

    [Fact]
    public async Task ThreeModels_InRoomForTwo_TheLeastRecentlyUsedGoes()
    {
        await using var stage = new WorkerTestCluster();
        string[] all = [stage.NewModel("a"), stage.NewModel("b"), stage.NewModel("c")];
        await stage.StartWorkerAsync(modelCapacity: 2);
        foreach (string model in all) await stage.DeployAsync(model);
        await stage.RunAsync(all[0]);
        await stage.RunAsync(all[1]);
        await stage.RunAsync(all[0]);
        await stage.WaitForLoadedModelsAsync("a b");
        await stage.RunAsync(all[2]);
        await stage.WaitForLoadedModelsAsync("a c"); // b was used before a
        await stage.RunAsync(all[1]);
        await stage.WaitForLoadedModelsAsync("b c");
        await stage.RunAsync(all[0]);
        await stage.WaitForLoadedModelsAsync("a b");
    }

    [Fact]
    public async Task APinnedModel_Stays_HoweverLongItWasNotUsed()
    {
        await using var stage = new WorkerTestCluster();
        string[] all = [stage.NewModel("a"), stage.NewModel("b"), stage.NewModel("c")];
        await stage.StartWorkerAsync(modelCapacity: 2);
        await stage.DeployAsync(all[0], pinned: true);
        await stage.WaitForLoadedModelsAsync("a");
        foreach (string model in all[1..]) await stage.DeployAsync(model);
        for (int round = 0; round < 2; round++)
        {
            await stage.RunAsync(all[1]);
            await stage.WaitForLoadedModelsAsync("a b");
            await stage.RunAsync(all[2]);
            await stage.WaitForLoadedModelsAsync("a c");
        }
        await stage.DeployAsync(all[0], pinned: false);
        await stage.RunAsync(all[1]);
        await stage.WaitForLoadedModelsAsync("b c");
    }

    [Fact]
    public async Task AModelThatTheWorkerWasStartedWith_Stays()
    {
        await using var stage = new WorkerTestCluster();
        string[] all = [stage.NewModel("a"), stage.NewModel("b"), stage.NewModel("c")];
        await stage.StartWorkerAsync(modelCapacity: 2, configure: options => options with { Models = [all[0]] });
        foreach (string model in all[1..]) await stage.DeployAsync(model);
        await stage.RunAsync(all[1]);
        await stage.RunAsync(all[2]);
        await stage.WaitForLoadedModelsAsync("a c");
        await stage.RunAsync(all[0]);
    }

    [Fact]
    public async Task AModelThatMakesRoom_EndsItsRunningJob_AndKeepsItsWaitingOnes()
    {
        await using var stage = new WorkerTestCluster();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartWorkerAsync(modelCapacity: 1, configure: options => options with { MaxBatch = 1 });
        await stage.DeployAsync(a);
        await stage.DeployAsync(b);
        string running = await stage.SubmitAsync(a, operations: 1500);
        await stage.WaitForStateAsync(running, JobState.Running);
        string waiting = await stage.SubmitAsync(a);
        string other = await stage.SubmitAsync(b);
        foreach (string job in (string[])[running, waiting, other]) Assert.Equal(JobState.Completed, (await stage.WaitForEndAsync(job)).State);
        var states = stage.States;
        Assert.True(Array.IndexOf(states, (running, JobState.Completed)) < Array.IndexOf(states, (other, JobState.Running)), string.Join(", ", states));
        Assert.Equal(1, states.Count(s => s == (running, JobState.Running))); // it was not interrupted
    }

    [Fact]
    public async Task WhileAModelIsLoaded_OthersGoOn()
    {
        await using var stage = new WorkerTestCluster();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartWorkerAsync(modelCapacity: 2);
        await stage.DeployAsync(a);
        await stage.RunAsync(a);
        string running = await stage.SubmitAsync(a, operations: 1500);
        await stage.WaitForStateAsync(running, JobState.Running);
        await stage.DeployAsync(b);
        await stage.RunAsync(b);
        Assert.DoesNotContain((running, JobState.Completed), stage.States);
        Assert.Equal(JobState.Completed, (await stage.WaitForEndAsync(running)).State);
    }

    [Fact]
    public async Task AYoungModel_IsNotPushedOut_BeforeItWasWorthItsLoading()
    {
        await using var stage = new WorkerTestCluster();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartWorkerAsync(modelCapacity: 1, configure: options => options with { MinResidence = TimeSpan.FromSeconds(2) });
        await stage.DeployAsync(a);
        await stage.RunAsync(a);
        await stage.DeployAsync(b);
        string job = await stage.SubmitAsync(b);
        await stage.RunAsync(a); // still here
        Assert.Equal(JobState.Completed, (await stage.WaitForEndAsync(job)).State);
        List<Event> events = await stage.GetEventsAsync(job);
        TimeSpan waited = events.First(e => e.State?.State == JobState.Loading).Time.ToDateTimeOffset() - events[0].Time.ToDateTimeOffset();
        Assert.InRange(waited.TotalSeconds, 1, 20);
    }

    [Fact]
    public async Task AModelThatNeverFits_FailsItsJobs_WithTheNumbers()
    {
        await using var stage = new WorkerTestCluster();
        string huge = stage.NewModel("huge", hiddenSize: 64), a = stage.NewModel("a");
        await stage.StartWorkerAsync(modelCapacity: 2);
        await stage.DeployAsync(huge);
        StateChanged end = await stage.WaitForEndAsync(await stage.SubmitAsync(huge));
        Assert.Equal((JobState.Failed, ErrorCode.OutOfMemory), (end.State, end.Error.Code));
        Assert.Contains("w1", end.Error.Message, StringComparison.Ordinal);
        Assert.NotEmpty(end.Error.Hint);
        Assert.Equal(ErrorCode.OutOfMemory, (await stage.GetStatusAsync(huge))!.Error.Code);
        await stage.DeployAsync(a);
        await stage.RunAsync(a);
    }

    [Fact]
    public async Task AModelForWhichPinnedOnesLeaveNoRoom_FailsItsJobs_UntilOneIsUnpinned()
    {
        await using var stage = new WorkerTestCluster();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartWorkerAsync(modelCapacity: 1);
        await stage.DeployAsync(a, pinned: true);
        await stage.WaitForLoadedModelsAsync("a");
        await stage.DeployAsync(b);
        Assert.Equal(ErrorCode.OutOfMemory, (await stage.WaitForEndAsync(await stage.SubmitAsync(b))).Error.Code);
        await stage.DeployAsync(a, pinned: false);
        await stage.WaitUntilAsync(() => stage.GetStatusAsync(b), status => status!.Error is null);
        await stage.RunAsync(b);
    }

    [Fact]
    public async Task ABrokenModel_FailsItsJobs_IsNotTriedAgainAndAgain_AndComesWhenItIsMended()
    {
        await using var stage = new WorkerTestCluster();
        string broken = stage.NewModel("broken"), weights = Path.Combine(broken, "model.safetensors");
        byte[] whole = await File.ReadAllBytesAsync(weights, WorkerTestCluster.Cancel);
        await File.WriteAllBytesAsync(weights, whole[..^100], WorkerTestCluster.Cancel);
        await stage.StartWorkerAsync();
        await stage.DeployAsync(broken);
        for (int i = 0; i < 5; i++)
        {
            StateChanged end = await stage.WaitForEndAsync(await stage.SubmitAsync(broken));
            Assert.Equal((JobState.Failed, ErrorCode.BadCheckpoint), (end.State, end.Error.Code));
        }
        Assert.Equal(1, stage.Logs.Count("cannot be held here"));
        Assert.Equal(ErrorCode.BadCheckpoint, (await stage.GetStatusAsync(broken))!.Error.Code);
        await File.WriteAllBytesAsync(weights, whole, WorkerTestCluster.Cancel);
        await stage.DeployAsync(broken); // deploying again tries again
        await stage.WaitUntilAsync(() => stage.GetStatusAsync(broken), status => status!.Error is null);
        await stage.RunAsync(broken);
    }

    [Fact]
    public async Task AModelThatIsNowhere_FailsItsJobs()
    {
        await using var stage = new WorkerTestCluster();
        await stage.StartWorkerAsync();
        await stage.DeployAsync("../no/such/model");
        StateChanged end = await stage.WaitForEndAsync(await stage.SubmitAsync("../no/such/model"));
        Assert.Equal((JobState.Failed, ErrorCode.UnknownModel), (end.State, end.Error.Code));
    }

    [Fact]
    public async Task AModelThatIsKeptWarm_ComesBackWithoutBeingLoaded()
    {
        await using var stage = new WorkerTestCluster();
        string[] all = [stage.NewModel("a"), stage.NewModel("b"), stage.NewModel("c")];
        await stage.StartWorkerAsync(modelCapacity: 1, offloadCapacity: 1);
        foreach (string model in all) await stage.DeployAsync(model);
        await stage.RunAsync(all[0]);
        int loads = stage.Logs.Count("Loading ");
        await stage.RunAsync(all[1]);
        await stage.WaitUntilAsync(() => stage.GetStatusAsync(all[0]), status => status is { Heat: Heat.Warm });
        await stage.RunAsync(all[0]);
        Assert.Equal(loads + 1, stage.Logs.Count("Loading "));
        await stage.RunAsync(all[2]); // a is warm now, and b, which was, has gone
        await stage.WaitUntilAsync(() => stage.GetStatusAsync(all[1]), status => status is { Heat: Heat.Cold });
        await stage.WaitUntilAsync(() => stage.GetStatusAsync(all[0]), status => status is { Heat: Heat.Warm });
    }

    [Fact]
    public async Task ADeployedType_IsLoadedSo_AndAnotherOneLater()
    {
        await using var stage = new WorkerTestCluster();
        string a = stage.NewModel("a");
        await stage.StartWorkerAsync();
        await stage.DeployAsync(a, dtype: DataType.Bfloat16);
        await stage.WaitUntilAsync(() => stage.GetStatusAsync(a), status => status is { Heat: Heat.Hot, Dtype: DataType.Bfloat16 });
        Assert.Equal(stage.ModelBytes / 2, (long)(await stage.GetStatusAsync(a))!.Bytes);
        await stage.DeployAsync(a, dtype: DataType.Float32);
        await stage.WaitUntilAsync(() => stage.GetStatusAsync(a), status => status is { Heat: Heat.Hot, Dtype: DataType.Float32 });
        await stage.RunAsync(a);
    }

    [Fact]
    public async Task AModelThatIsWantedNoMore_Goes_AfterItsRunningJob()
    {
        await using var stage = new WorkerTestCluster();
        string a = stage.NewModel("a");
        await stage.StartWorkerAsync();
        await stage.DeployAsync(a);
        string job = await stage.SubmitAsync(a, operations: 800);
        await stage.WaitForStateAsync(job, JobState.Running);
        await stage.Backend.Deployments.RemoveAsync(a, WorkerTestCluster.Cancel);
        Assert.Equal(JobState.Completed, (await stage.WaitForEndAsync(job)).State);
        await stage.WaitUntilAsync(() => stage.GetStatusAsync(a), status => status is null);
        await stage.WaitForLoadedModelsAsync("");
    }

    [Fact]
    public async Task AnEvictedModel_StaysAway_UntilAJobWaits()
    {
        await using var stage = new WorkerTestCluster();
        string a = stage.NewModel("a");
        await stage.StartWorkerAsync();
        await stage.DeployAsync(a);
        await stage.WaitForLoadedModelsAsync("a");
        await stage.Backend.Deployments.SendOrderAsync("w1", new WorkerOrder { Evict = a }, WorkerTestCluster.Cancel);
        await stage.WaitForLoadedModelsAsync("");
        await stage.WaitUntilAsync(() => stage.GetStatusAsync(a), status => status is { Heat: Heat.Cold, Loading: 0 });
        int loads = stage.Logs.Count("Loading ");
        await stage.RunAsync(a);
        Assert.Equal(loads + 1, stage.Logs.Count("Loading "));
    }
}
