using Ndif.Protocol;

namespace Ndif.Worker.Tests;

public sealed class OnDemandTests
{
    [Fact]
    public async Task ADeployedModel_IsLoaded_WhenAJobWaits_WhichIsToldSo()
    {
        await using var stage = new Stage();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartAsync(holds: 1);
        await stage.DeployAsync(a, pinned: false);
        await stage.HoldsAsync("a"); // memory that nobody uses
        await stage.DeployAsync(b);
        await stage.UntilAsync(() => stage.StatusAsync(b), status => status is { Heat: Heat.Cold, Error: null });
        Assert.Equal("GPT2LMHeadModel", (await stage.Backend.Workers.DescriptionAsync(b, Stage.Cancel))!.Architecture);
        Assert.Equal("a", await stage.HotAsync()); // nobody asks for b: it does not push a out

        List<Event> events = await stage.RunAsync(b);
        Assert.Equal([JobState.Received, JobState.Queued, JobState.Loading, JobState.Running, JobState.Completed], Stage.StatesOf(events));
        Progress[] progress = [.. events.Where(e => e.Progress is not null).Select(e => e.Progress)];
        Assert.NotEmpty(progress);
        Assert.All(progress, p => Assert.InRange(p.Done, 0ul, p.Total));
        await stage.HoldsAsync("b");
    }

    [Fact]
    public async Task ThreeModels_InRoomForTwo_TheLeastRecentlyUsedGoes()
    {
        await using var stage = new Stage();
        string[] all = [stage.NewModel("a"), stage.NewModel("b"), stage.NewModel("c")];
        await stage.StartAsync(holds: 2);
        foreach (string model in all) await stage.DeployAsync(model);
        await stage.RunAsync(all[0]);
        await stage.RunAsync(all[1]);
        await stage.RunAsync(all[0]);
        await stage.HoldsAsync("a b");
        await stage.RunAsync(all[2]);
        await stage.HoldsAsync("a c"); // b was used before a
        await stage.RunAsync(all[1]);
        await stage.HoldsAsync("b c");
        await stage.RunAsync(all[0]);
        await stage.HoldsAsync("a b");
    }

    [Fact]
    public async Task APinnedModel_Stays_HoweverLongItWasNotUsed()
    {
        await using var stage = new Stage();
        string[] all = [stage.NewModel("a"), stage.NewModel("b"), stage.NewModel("c")];
        await stage.StartAsync(holds: 2);
        await stage.DeployAsync(all[0], pinned: true);
        await stage.HoldsAsync("a");
        foreach (string model in all[1..]) await stage.DeployAsync(model);
        for (int round = 0; round < 2; round++)
        {
            await stage.RunAsync(all[1]);
            await stage.HoldsAsync("a b");
            await stage.RunAsync(all[2]);
            await stage.HoldsAsync("a c");
        }
        await stage.DeployAsync(all[0], pinned: false);
        await stage.RunAsync(all[1]);
        await stage.HoldsAsync("b c");
    }

    [Fact]
    public async Task AModelThatTheWorkerWasStartedWith_Stays()
    {
        await using var stage = new Stage();
        string[] all = [stage.NewModel("a"), stage.NewModel("b"), stage.NewModel("c")];
        await stage.StartAsync(holds: 2, with: options => options with { Models = [all[0]] });
        foreach (string model in all[1..]) await stage.DeployAsync(model);
        await stage.RunAsync(all[1]);
        await stage.RunAsync(all[2]);
        await stage.HoldsAsync("a c");
        await stage.RunAsync(all[0]);
    }

    [Fact]
    public async Task AModelThatMakesRoom_EndsItsRunningJob_AndKeepsItsWaitingOnes()
    {
        await using var stage = new Stage();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartAsync(holds: 1, with: options => options with { MaxBatch = 1 });
        await stage.DeployAsync(a);
        await stage.DeployAsync(b);
        string running = await stage.SubmitAsync(a, operations: 1500);
        await stage.ReachesAsync(running, JobState.Running);
        string waiting = await stage.SubmitAsync(a);
        string other = await stage.SubmitAsync(b);
        foreach (string job in (string[])[running, waiting, other]) Assert.Equal(JobState.Completed, (await stage.EndAsync(job)).State);
        var states = stage.States;
        Assert.True(Array.IndexOf(states, (running, JobState.Completed)) < Array.IndexOf(states, (other, JobState.Running)), string.Join(", ", states));
        Assert.Equal(1, states.Count(s => s == (running, JobState.Running))); // it was not interrupted
    }

    [Fact]
    public async Task WhileAModelIsLoaded_OthersGoOn()
    {
        await using var stage = new Stage();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartAsync(holds: 2);
        await stage.DeployAsync(a);
        await stage.RunAsync(a);
        string running = await stage.SubmitAsync(a, operations: 1500);
        await stage.ReachesAsync(running, JobState.Running);
        await stage.DeployAsync(b);
        await stage.RunAsync(b);
        Assert.DoesNotContain((running, JobState.Completed), stage.States);
        Assert.Equal(JobState.Completed, (await stage.EndAsync(running)).State);
    }

    [Fact]
    public async Task AYoungModel_IsNotPushedOut_BeforeItWasWorthItsLoading()
    {
        await using var stage = new Stage();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartAsync(holds: 1, with: options => options with { MinResidence = TimeSpan.FromSeconds(2) });
        await stage.DeployAsync(a);
        await stage.RunAsync(a);
        await stage.DeployAsync(b);
        string job = await stage.SubmitAsync(b);
        await stage.RunAsync(a); // still here
        Assert.Equal(JobState.Completed, (await stage.EndAsync(job)).State);
        List<Event> events = await stage.EventsAsync(job);
        TimeSpan waited = events.First(e => e.State?.State == JobState.Loading).Time.ToDateTimeOffset() - events[0].Time.ToDateTimeOffset();
        Assert.InRange(waited.TotalSeconds, 1, 20);
    }

    [Fact]
    public async Task AModelThatNeverFits_FailsItsJobs_WithTheNumbers()
    {
        await using var stage = new Stage();
        string huge = stage.NewModel("huge", width: 64), a = stage.NewModel("a");
        await stage.StartAsync(holds: 2);
        await stage.DeployAsync(huge);
        StateChanged end = await stage.EndAsync(await stage.SubmitAsync(huge));
        Assert.Equal((JobState.Failed, ErrorCode.OutOfMemory), (end.State, end.Error.Code));
        Assert.Contains("w1", end.Error.Message, StringComparison.Ordinal);
        Assert.NotEmpty(end.Error.Hint);
        Assert.Equal(ErrorCode.OutOfMemory, (await stage.StatusAsync(huge))!.Error.Code);
        await stage.DeployAsync(a);
        await stage.RunAsync(a);
    }

    [Fact]
    public async Task AModelForWhichPinnedOnesLeaveNoRoom_FailsItsJobs_UntilOneIsUnpinned()
    {
        await using var stage = new Stage();
        (string a, string b) = (stage.NewModel("a"), stage.NewModel("b"));
        await stage.StartAsync(holds: 1);
        await stage.DeployAsync(a, pinned: true);
        await stage.HoldsAsync("a");
        await stage.DeployAsync(b);
        Assert.Equal(ErrorCode.OutOfMemory, (await stage.EndAsync(await stage.SubmitAsync(b))).Error.Code);
        await stage.DeployAsync(a, pinned: false);
        await stage.UntilAsync(() => stage.StatusAsync(b), status => status!.Error is null);
        await stage.RunAsync(b);
    }

    [Fact]
    public async Task ABrokenModel_FailsItsJobs_IsNotTriedAgainAndAgain_AndComesWhenItIsMended()
    {
        await using var stage = new Stage();
        string broken = stage.NewModel("broken"), weights = Path.Combine(broken, "model.safetensors");
        byte[] whole = await File.ReadAllBytesAsync(weights, Stage.Cancel);
        await File.WriteAllBytesAsync(weights, whole[..^100], Stage.Cancel);
        await stage.StartAsync();
        await stage.DeployAsync(broken);
        for (int i = 0; i < 5; i++)
        {
            StateChanged end = await stage.EndAsync(await stage.SubmitAsync(broken));
            Assert.Equal((JobState.Failed, ErrorCode.BadCheckpoint), (end.State, end.Error.Code));
        }
        Assert.Equal(1, stage.Lines.Count("cannot be held here"));
        Assert.Equal(ErrorCode.BadCheckpoint, (await stage.StatusAsync(broken))!.Error.Code);
        await File.WriteAllBytesAsync(weights, whole, Stage.Cancel);
        await stage.DeployAsync(broken); // deploying again tries again
        await stage.UntilAsync(() => stage.StatusAsync(broken), status => status!.Error is null);
        await stage.RunAsync(broken);
    }

    [Fact]
    public async Task AModelThatIsNowhere_FailsItsJobs()
    {
        await using var stage = new Stage();
        await stage.StartAsync();
        await stage.DeployAsync("../no/such/model");
        StateChanged end = await stage.EndAsync(await stage.SubmitAsync("../no/such/model"));
        Assert.Equal((JobState.Failed, ErrorCode.UnknownModel), (end.State, end.Error.Code));
    }

    [Fact]
    public async Task AModelThatIsKeptWarm_ComesBackWithoutBeingLoaded()
    {
        await using var stage = new Stage();
        string[] all = [stage.NewModel("a"), stage.NewModel("b"), stage.NewModel("c")];
        await stage.StartAsync(holds: 1, keepsWarm: 1);
        foreach (string model in all) await stage.DeployAsync(model);
        await stage.RunAsync(all[0]);
        int loads = stage.Lines.Count("Loading ");
        await stage.RunAsync(all[1]);
        await stage.UntilAsync(() => stage.StatusAsync(all[0]), status => status is { Heat: Heat.Warm });
        await stage.RunAsync(all[0]);
        Assert.Equal(loads + 1, stage.Lines.Count("Loading "));
        await stage.RunAsync(all[2]); // a is warm now, and b, which was, has gone
        await stage.UntilAsync(() => stage.StatusAsync(all[1]), status => status is { Heat: Heat.Cold });
        await stage.UntilAsync(() => stage.StatusAsync(all[0]), status => status is { Heat: Heat.Warm });
    }

    [Fact]
    public async Task ADeployedType_IsLoadedSo_AndAnotherOneLater()
    {
        await using var stage = new Stage();
        string a = stage.NewModel("a");
        await stage.StartAsync();
        await stage.DeployAsync(a, dtype: DataType.Bfloat16);
        await stage.UntilAsync(() => stage.StatusAsync(a), status => status is { Heat: Heat.Hot, Dtype: DataType.Bfloat16 });
        Assert.Equal(stage.Size / 2, (long)(await stage.StatusAsync(a))!.Bytes);
        await stage.DeployAsync(a, dtype: DataType.Float32);
        await stage.UntilAsync(() => stage.StatusAsync(a), status => status is { Heat: Heat.Hot, Dtype: DataType.Float32 });
        await stage.RunAsync(a);
    }

    [Fact]
    public async Task AModelThatIsWantedNoMore_Goes_AfterItsRunningJob()
    {
        await using var stage = new Stage();
        string a = stage.NewModel("a");
        await stage.StartAsync();
        await stage.DeployAsync(a);
        string job = await stage.SubmitAsync(a, operations: 800);
        await stage.ReachesAsync(job, JobState.Running);
        await stage.Backend.Deployments.RemoveAsync(a, Stage.Cancel);
        Assert.Equal(JobState.Completed, (await stage.EndAsync(job)).State);
        await stage.UntilAsync(() => stage.StatusAsync(a), status => status is null);
        await stage.HoldsAsync("");
    }

    [Fact]
    public async Task AnEvictedModel_StaysAway_UntilAJobWaits()
    {
        await using var stage = new Stage();
        string a = stage.NewModel("a");
        await stage.StartAsync();
        await stage.DeployAsync(a);
        await stage.HoldsAsync("a");
        await stage.Backend.Deployments.OrderAsync("w1", new WorkerOrder { Evict = a }, Stage.Cancel);
        await stage.HoldsAsync("");
        await stage.UntilAsync(() => stage.StatusAsync(a), status => status is { Heat: Heat.Cold, Loading: 0 });
        int loads = stage.Lines.Count("Loading ");
        await stage.RunAsync(a);
        Assert.Equal(loads + 1, stage.Lines.Count("Loading "));
    }
}
