using Ndif.Protocol;
using Ndif.Queue.Blobs;
using Ndif.Worker.Tests.Support;

namespace Ndif.Worker.Tests.Serving;

/// <summary>Large values are written while other jobs of the model run, and the job that saves them goes on.</summary>
public sealed class ResultWritingTests : IAsyncDisposable
{
    private const long Mebi = 1 << 20;

    private static readonly TimeSpan _timeout = TimeSpan.FromSeconds(60);

    private readonly WorkerTestCluster _cluster = new();
    private readonly GatedBlobStore _disk;

    public ResultWritingTests() => _disk = new GatedBlobStore(_cluster.Backend.Blobs);

    public async ValueTask DisposeAsync()
    {
        _disk.Open();
        await _cluster.DisposeAsync();
    }

    [Fact]
    public async Task APass_DoesNotWaitForTheWritingOfALargeResult()
    {
        string model = await StartAsync();
        string large = await _cluster.SubmitAsync(model, TestPrograms.HugeTensor(model, 64 * Mebi)); // 256 MB
        await _disk.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        await _cluster.RunAsync(model);
        Assert.Equal(JobState.Running, (await _cluster.Backend.Jobs.GetAsync(large, WorkerTestCluster.Cancel))!.State);
        _disk.Open();
        List<Event> events = await _cluster.GetEventsAsync(large);
        Assert.Equal(JobState.Completed, events[^1].State.State);
        Assert.Equal(256ul * Mebi, events[^1].State.Usage.ResultBytes);
        BlobRef blob = Assert.Single(events, e => e.Value is not null).Value.Data.Tensor.Blob;
        Assert.Equal(256ul * Mebi, blob.Length);
    }

    /// <summary>It waited on the stack of the pass in whose middle it ended.</summary>
    [Fact]
    public async Task APass_DoesNotWaitForTheListsOfAJob_ThatEndsInItsMiddle()
    {
        string model = await StartAsync();
        string pass = await _cluster.SubmitAsync(model, TestPrograms.PassWithStatements(model, 60_000));
        await _cluster.WaitForStateAsync(pass, JobState.Running);
        List<string> lists = [];
        for (int i = 0; i < 2; i++)
            lists.Add(await _cluster.SubmitAsync(model, TestPrograms.SavedLists(model, 3, 12 * Mebi), owner: "eve")); // 48 MB each
        await _disk.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        Assert.Equal(JobState.Completed, (await _cluster.WaitForEndAsync(pass)).State);
        await _cluster.RunAsync(model);
        foreach (string job in lists)
            Assert.Equal(JobState.Running, (await _cluster.Backend.Jobs.GetAsync(job, WorkerTestCluster.Cancel))!.State);
        _disk.Open();
        foreach (string job in lists)
        {
            List<Event> events = await _cluster.GetEventsAsync(job);
            Assert.Equal(JobState.Completed, events[^1].State.State);
            Assert.Equal(3 * 48ul * Mebi, events[^1].State.Usage.ResultBytes);
        }
    }

    /// <summary>A warning waited for room in the step that the job shared.</summary>
    [Fact]
    public async Task AGeneration_DoesNotWaitForTheWarningOfAJobThatSharesItsSteps()
    {
        string model = await StartAsync(options => options with { EventBufferSize = 2 });
        string generation = await _cluster.SubmitAsync(model, TestPrograms.Generation(model, batch: 30, newTokens: 44));
        await _cluster.WaitForStateAsync(generation, JobState.Running);
        string warning = await _cluster.SubmitAsync(model, TestPrograms.WarnsInAStep(model, Mebi), owner: "eve");
        await _disk.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        StateChanged end = await _cluster.WaitForEndAsync(generation).WaitAsync(TimeSpan.FromSeconds(20), WorkerTestCluster.Cancel);
        Assert.True(end.State is JobState.Completed, end.Error?.ToString());
        _disk.Open();
        List<Event> events = await _cluster.GetEventsAsync(warning);
        Assert.Equal(JobState.Completed, events[^1].State.State);
        Assert.Equal(["large", "a", "b"], events.Where(e => e.Value is not null).Select(e => e.Value.Name));
        Assert.Single(events, e => e.Warning is not null);
    }

    [Fact]
    public async Task AJobThatSavesFasterThanTheDiskWrites_WaitsWithinItsMemory_AndOthersRun()
    {
        string model = await StartAsync(options => options with { JobMemory = 256 * Mebi });
        string fast = await _cluster.SubmitAsync(model, TestPrograms.SavesInAPass(model, 12, 8 * Mebi)); // 384 MB
        await _disk.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        await Task.Delay(300, WorkerTestCluster.Cancel); // so that it saves as much as it can
        for (int i = 0; i < 3; i++) await _cluster.RunAsync(model);
        Assert.Equal(JobState.Running, (await _cluster.Backend.Jobs.GetAsync(fast, WorkerTestCluster.Cancel))!.State);
        _disk.Open();
        await AssertSavedAsync(fast, 12, 32 * Mebi);
        Assert.Equal(1, _disk.MostWrites); // of one owner
    }

    [Fact]
    public async Task TheEventsOfAJob_KeepTheirOrder()
    {
        string model = await StartAsync();
        string job = await _cluster.SubmitAsync(model, TestPrograms.SavesInAPass(model, 3, Mebi));
        await _disk.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        await _cluster.RunAsync(model);
        _disk.Open();
        await AssertSavedAsync(job, 3, 4 * Mebi);
    }

    [Fact]
    public async Task ASavedValue_IsThatOfItsSave_WhateverIsEditedAfterIt()
    {
        string model = await StartAsync();
        string job = await _cluster.SubmitAsync(model, TestPrograms.SavesOfAnEditedTensor(model, 4 * Mebi));
        await _disk.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        await _cluster.RunAsync(model); // the statements have run
        _disk.Open();
        Event[] saved = [.. (await _cluster.GetEventsAsync(job)).Where(e => e.Value is not null)];
        Assert.Equal(["before", "after"], saved.Select(e => e.Value.Name));
        Assert.True((await ReadAsync(saved[0])).All(element => element == 1));
        Assert.True((await ReadAsync(saved[1])).All(element => element == 2));
    }

    [Fact]
    public async Task AValueWithoutMemoryForItsCopy_IsWrittenBeforeTheJobGoesOn()
    {
        string model = await StartAsync(options => options with { JobMemory = 24 * Mebi });
        string job = await _cluster.SubmitAsync(model, TestPrograms.SavesOfAnEditedTensor(model, 4 * Mebi)); // 16 MB
        await _disk.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        await _cluster.RunAsync(model);
        _disk.Open();
        Event[] saved = [.. (await _cluster.GetEventsAsync(job)).Where(e => e.Value is not null)];
        for (int i = 0; i < 2; i++) Assert.Equal(i + 1f, (await ReadAsync(saved[i]))[^1]);
    }

    [Fact]
    public async Task AFullDisk_FailsTheJobAtItsSave_AndStopsIt()
    {
        string model = await StartAsync();
        string job = await _cluster.SubmitAsync(model, TestPrograms.SavesInAPass(model, 1000, 8 * Mebi));
        await _disk.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        _disk.Fail(new IOException("No space left on device"));
        List<Event> events = await _cluster.GetEventsAsync(job);
        StateChanged end = events[^1].State;
        Assert.Equal((JobState.Failed, ErrorCode.Unavailable, 6u), (end.State, end.Error.Code, end.Error.Node));
        Assert.Equal("The service has no space left to store large tensors.", end.Error.Message);
        Assert.True(end.Error.Retryable);
        Assert.DoesNotContain(events, e => e.Value is not null || e.Log is not null);
        Assert.InRange(end.Usage.ResultBytes, 1ul, 320ul * Mebi);
        AssertNoDrafts();
        await _cluster.RunAsync(model);
    }

    [Fact]
    public async Task AJobOverItsLimit_EndsWhileItsValueIsWritten()
    {
        string model = await StartAsync();
        string job = await _cluster.SubmitAsync(model, TestPrograms.HugeTensor(model, Mebi), limit: TimeSpan.FromSeconds(1));
        StateChanged end = await _cluster.WaitForEndAsync(job);
        Assert.Equal((JobState.Failed, ErrorCode.JobTimeout), (end.State, end.Error.Code));
        AssertNoDrafts();
    }

    [Fact]
    public async Task AValueSavedBeforeTheLimit_IsDelivered()
    {
        string model = await StartAsync();
        Program program = TestPrograms.HugeTensor(model, Mebi);
        program.Regions[0].Nodes.Add((uint)program.Nodes.Count);
        program.Nodes.Add(new Node { Local = new LocalCall { TimeoutSeconds = 60 } }); // nobody answers
        string job = await _cluster.SubmitAsync(model, program, limit: TimeSpan.FromSeconds(1));
        await _disk.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        await Task.Delay(TimeSpan.FromSeconds(2), WorkerTestCluster.Cancel);
        _disk.Open();
        List<Event> events = await _cluster.GetEventsAsync(job);
        Assert.Equal((JobState.Failed, ErrorCode.JobTimeout), (events[^1].State.State, events[^1].State.Error.Code));
        Assert.Equal(1, (await ReadAsync(Assert.Single(events, e => e.Value is not null)))[^1]);
    }

    [Fact]
    public async Task ACancelledJob_LeavesNoDraft()
    {
        string model = await StartAsync();
        string job = await _cluster.SubmitAsync(model, TestPrograms.SavesInAPass(model, 12, 8 * Mebi));
        await _disk.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        Assert.NotEmpty(Drafts);
        await _cluster.Backend.Jobs.CancelAsync(job, "", WorkerTestCluster.Cancel);
        Assert.Equal(JobState.Cancelled, (await _cluster.WaitForEndAsync(job)).State);
        await _cluster.WaitUntilAsync(() => Task.FromResult(Drafts.Length), drafts => drafts == 0);
        await _cluster.RunAsync(model);
    }

    [Fact]
    public async Task AWorkerThatStops_ReturnsTheJobWhoseValueIsWritten_AndLeavesNoDraft()
    {
        string model = await StartAsync();
        string job = await _cluster.SubmitAsync(model, TestPrograms.HugeTensor(model, Mebi));
        await _disk.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        _cluster.StopWorker();
        await _cluster.WaitForWorkerAsync();
        JobInfo returned = (await _cluster.Backend.Jobs.GetAsync(job, WorkerTestCluster.Cancel))!;
        Assert.True(returned is { State: JobState.Queued, Attempt: 1 }, $"{returned}");
        AssertNoDrafts();
    }

    [Fact]
    public async Task ADiskThatDoesNotAnswer_KeepsNoJobLongerThanItsLimit()
    {
        using var stuck = new StuckBlobStore();
        string model = _cluster.NewModel("model");
        await _cluster.StartWorkerAsync(configure: options => options with { Models = [model] }, blobs: stuck);
        string job = await _cluster.SubmitAsync(model, TestPrograms.HugeTensor(model, Mebi), limit: TimeSpan.FromSeconds(1));
        await stuck.Entered.WaitAsync(_timeout, WorkerTestCluster.Cancel);
        await _cluster.RunAsync(model);
        Assert.Equal(ErrorCode.JobTimeout, (await _cluster.WaitForEndAsync(job)).Error.Code);
        stuck.Release();
    }

    private string[] Drafts => Directory.GetFiles(Path.Combine(((DirectoryBlobStore)_cluster.Backend.Blobs).Folder, "writing"));

    private void AssertNoDrafts() => Assert.Empty(Drafts);

    private async Task<string> StartAsync(Func<WorkerOptions, WorkerOptions>? configure = null)
    {
        string model = _cluster.NewModel("model");
        await _cluster.StartWorkerAsync(blobs: _disk, configure: options =>
        {
            options = options with { Models = [model] };
            return configure?.Invoke(options) ?? options;
        });
        return model;
    }

    /// <summary>Asserts that <see cref="TestPrograms.SavesInAPass"/> has saved its values, in their order.</summary>
    private async Task AssertSavedAsync(string job, int values, long bytes)
    {
        List<Event> events = await _cluster.GetEventsAsync(job);
        Assert.True(events[^1].State.State is JobState.Completed, $"{events[^1]}");
        Event[] results = [.. events.Where(e => e.Value is not null || e.Log is not null)];
        Assert.Equal([.. Enumerable.Repeat("large", values), "saved", "small"], results.Select(e => e.Value?.Name ?? e.Log.Text));
        Assert.Equal(7, results[^1].Value.Data.Integer);
        for (int i = 0; i < values; i++)
        {
            Assert.Equal((ulong)bytes, results[i].Value.Data.Tensor.Blob.Length);
            float[] elements = await ReadAsync(results[i]);
            Assert.Equal([i + 1f, i + 1f], [elements[0], elements[^1]]);
        }
    }

    private async Task<float[]> ReadAsync(Event saved)
    {
        BlobRef blob = saved.Value.Data.Tensor.Blob;
        await using Stream? stream = await _cluster.Backend.Blobs.OpenAsync(blob.Id, WorkerTestCluster.Cancel);
        byte[] bytes = new byte[blob.Length];
        await stream!.ReadExactlyAsync(bytes, WorkerTestCluster.Cancel);
        return System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(bytes).ToArray();
    }
}
