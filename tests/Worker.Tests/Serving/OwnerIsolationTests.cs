using Ndif.Protocol;
using Ndif.Worker.Tests.Support;

namespace Ndif.Worker.Tests.Serving;

/// <summary>What the jobs of one owner wait for, the jobs of another do not wait for.</summary>
public sealed class OwnerIsolationTests : IAsyncDisposable
{
    private static readonly TimeSpan _timeout = TimeSpan.FromSeconds(60);

    private readonly WorkerTestCluster _cluster = new();
    private readonly GatedBlobStore _disk;

    public OwnerIsolationTests() => _disk = new GatedBlobStore(_cluster.Backend.Blobs);

    public async ValueTask DisposeAsync()
    {
        _disk.Open();
        await _cluster.DisposeAsync();
    }

    [Fact]
    public async Task AnOwnerWhoseJobsLackMemory_KeepsNoOtherOwnerWaiting()
    {
        string model = await StartAsync(options => options with
        {
            AllJobsMemory = 64L << 20, LocalCallTimeout = TimeSpan.FromMinutes(10),
        });
        string holds = await SubmitAsync(TestPrograms.WaitWithLiveTensors(model, 6, timeoutSeconds: 600));
        await _cluster.Backend.Jobs.WatchAsync(holds, 1, WorkerTestCluster.Cancel)
            .AnyAsync(e => e.Local is not null, WorkerTestCluster.Cancel);
        string lacks = await SubmitAsync(TestPrograms.ManyLiveTensors(model, 6));
        await _cluster.WaitUntilAsync(() => _cluster.Backend.Jobs.GetAsync(lacks, WorkerTestCluster.Cancel),
            job => job is { State: JobState.Queued, Attempt: > 0 });
        await RunAnasJobsAsync(model, TestPrograms.ForwardPass(model), TestPrograms.ManyLiveTensors(model, 1));

        Task<string> SubmitAsync(Program program) => _cluster.SubmitAsync(model, program, owner: "eve");
    }

    [Fact]
    public async Task TokensThatComeAfterALargeValue_HoldNoModelUntilItIsWritten()
    {
        string model = await StartAsync(options => options with { EventBufferSize = 2 });
        Program program = TestPrograms.Generation(model, batch: 8, newTokens: 40);
        (program.Nodes[0].Trace.Generation.Stream, program.Nodes[0].Trace.Generation.IgnoreEos) = (true, true);
        program.Nodes.Add(TestPrograms.HugeTensor(model, 1 << 20).Nodes[0]);
        program.Nodes.Add(new Node { Save = new Save { Value = new Argument { Node = 1 } } });
        program.Regions[0].Nodes.Clear();
        program.Regions[0].Nodes.Add([1, 2, 0]);
        string eves = await _cluster.SubmitAsync(model, program, owner: "eve");
        await _disk.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        await RunAnasJobsAsync(model, TestPrograms.ForwardPass(model), TestPrograms.Generation(model, 2, 8));
        _disk.Open();
        List<Event> events = await _cluster.GetEventsAsync(eves);
        Assert.Equal(JobState.Completed, events[^1].State.State);
        Assert.Equal(320, events.Sum(e => e.Token is not null ? 1 : e.Tokens?.Tokens.Count ?? 0));
    }

    [Fact]
    public async Task LargePrograms_AreCompiledWhileOthersRun()
    {
        string model = await StartAsync(options => options);
        string eves = await _cluster.SubmitAsync(model, TestPrograms.ManyNodes(model, 40_000), owner: "eve"); // logs when it begins
        await _cluster.WaitForStateAsync(eves, JobState.Running);
        Task<bool> running = _cluster.Backend.Jobs.WatchAsync(eves, 1, WorkerTestCluster.Cancel)
            .AnyAsync(e => e.Log is not null, WorkerTestCluster.Cancel).AsTask();
        await RunAnasJobsAsync(model, TestPrograms.ForwardPass(model));
        Assert.False(running.IsCompleted);
        Assert.True(await running);
    }

    [Fact]
    public async Task AConstantIsRead_WhileOthersRun()
    {
        string model = await StartAsync(options => options);
        await _cluster.SubmitAsync(model, TestPrograms.UploadedConstant(model), owner: "eve");
        await _disk.Reading.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        await RunAnasJobsAsync(model, TestPrograms.ForwardPass(model));
    }

    private async Task<string> StartAsync(Func<WorkerOptions, WorkerOptions> configure)
    {
        string model = _cluster.NewModel("model");
        await _cluster.StartWorkerAsync(configure: options => configure(options with { Models = [model] }), blobs: _disk);
        await _cluster.RunAsync(model);
        return model;
    }

    /// <summary>Runs jobs of another owner, which must complete.</summary>
    private async Task RunAnasJobsAsync(string model, params Program[] programs)
    {
        foreach (Program program in programs)
        {
            StateChanged end = await _cluster.WaitForEndAsync(await _cluster.SubmitAsync(model, program));
            Assert.True(end.State is JobState.Completed, $"{end}");
        }
    }
}
