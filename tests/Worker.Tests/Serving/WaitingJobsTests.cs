using System.Diagnostics;
using Ndif.Protocol;
using Ndif.Worker.Tests.Support;

namespace Ndif.Worker.Tests.Serving;

/// <summary>A job that waits for its client holds no model, and a job that waits for others does not pay for them.</summary>
public sealed class WaitingJobsTests
{
    [Fact]
    public async Task JobsThatWaitForTheirClients_HoldNoModel()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a] });
        string[] waiting =
            [await cluster.SubmitAsync(a, TestPrograms.LocalCall(a)), await cluster.SubmitAsync(a, TestPrograms.LocalCall(a))];
        List<LocalRequest> requests = [];
        foreach (string job in waiting) requests.Add(await WaitForRequestAsync(cluster, job));
        long began = Stopwatch.GetTimestamp();
        await cluster.RunAsync(a);
        Assert.Equal(JobState.Completed,
            (await cluster.WaitForEndAsync(await cluster.SubmitAsync(a, TestPrograms.Generation(a, batch: 2, newTokens: 8)))).State);
        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, TimeSpan.FromSeconds(20));
        for (int i = 0; i < 2; i++)
            await cluster.Backend.Jobs.ReplyAsync(
                waiting[i], new LocalReply { Ticket = requests[i].Ticket, Value = new Data { Integer = i } }, WorkerTestCluster.Cancel);
        for (int i = 0; i < 2; i++)
        {
            List<Event> events = await cluster.GetEventsAsync(waiting[i]);
            Assert.Equal(JobState.Completed, events[^1].State.State);
            Assert.Equal(i, events.Single(e => e.Value is not null).Value.Data.Integer);
            Assert.InRange(events[^1].State.Usage.ComputeSeconds, 0, 2); // the time of the client is not charged
        }
    }

    /// <summary>It went on when those had their time limits, for its stack was below theirs.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task AJobWhoseClientHasAnswered_DoesNotWaitForUnansweredCallsOfOthers(bool inTrace)
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(
            configure: options => options with { Models = [a], LocalCallTimeout = TimeSpan.FromMinutes(10) });
        string first = await cluster.SubmitAsync(a, TestPrograms.LocalCall(a, inTrace: inTrace), owner: "ana");
        LocalRequest request = await WaitForRequestAsync(cluster, first);
        List<string> unanswered = [];
        for (int i = 0; i < 4; i++)
        {
            unanswered.Add(await cluster.SubmitAsync(a, TestPrograms.LocalCall(a, 600, inTrace: i % 2 == 0), owner: "eve"));
            await WaitForRequestAsync(cluster, unanswered[^1]);
        }
        await cluster.Backend.Jobs.ReplyAsync(
            first, new LocalReply { Ticket = request.Ticket, Value = new Data { Integer = 7 } }, WorkerTestCluster.Cancel);
        Assert.Equal(JobState.Completed, (await cluster.WaitForEndAsync(first)).State);
        foreach (string job in unanswered) await cluster.Backend.Jobs.CancelAsync(job, "", WorkerTestCluster.Cancel);
        foreach (string job in unanswered) Assert.Equal(ErrorCode.JobCancelled, (await cluster.WaitForEndAsync(job)).Error.Code);
        await cluster.RunAsync(a);
    }

    /// <summary>A node that the program does not have ended the worker.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task TheErrorOfAClient_FailsItsJob_WhateverItSays(bool inTrace)
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a] });
        string job = await cluster.SubmitAsync(a, TestPrograms.LocalCall(a, inTrace: inTrace));
        var error = new Error
        {
            Code = ErrorCode.JobCancelled, Message = new string('m', 100_000), Hint = new string('h', 100_000), Node = uint.MaxValue,
            Line = new SourceLine { File = "/etc/passwd", Line = 1 }, Module = "transformer",
        };
        LocalRequest request = await WaitForRequestAsync(cluster, job);
        await cluster.Backend.Jobs.ReplyAsync(job, new LocalReply { Ticket = request.Ticket, Error = error }, WorkerTestCluster.Cancel);
        StateChanged end = await cluster.WaitForEndAsync(job);
        Assert.Equal((JobState.Failed, ErrorCode.LocalCallFailed), (end.State, end.Error.Code));
        Assert.StartsWith("mmm", end.Error.Message, StringComparison.Ordinal);
        Assert.InRange(end.Error.CalculateSize(), 0, 10_000);
        Assert.Null(end.Error.Line);
        await cluster.RunAsync(a);
    }

    [Fact]
    public async Task AnUnansweredLocalCall_FailsSoon_WithItsOwnError()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(
            configure: options => options with { Models = [a], LocalCallTimeout = TimeSpan.FromMilliseconds(300) });
        StateChanged end = await cluster.WaitForEndAsync(await cluster.SubmitAsync(a, TestPrograms.LocalCall(a)));
        Assert.Equal((JobState.Failed, ErrorCode.LocalCallFailed), (end.State, end.Error.Code));
        Assert.Contains("did not answer a local call within 0.3 s", end.Error.Message, StringComparison.Ordinal);
        await cluster.RunAsync(a);
    }

    [Fact]
    public async Task SmallJobsBesideALongOne_PayForThemselves_AndKeepTheirTimeLimits()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a] });
        await cluster.RunAsync(a);
        long began = Stopwatch.GetTimestamp();
        string slow = await cluster.SubmitAsync(a, operations: 3000);
        await cluster.WaitForStateAsync(slow, JobState.Running);
        List<string> small = [];
        for (int i = 0; i < 8; i++)
            small.Add(await cluster.SubmitAsync(a, TestPrograms.ForwardPass(a), limit: TimeSpan.FromSeconds(1)));
        List<StateChanged> ends = [];
        foreach (string job in small) ends.Add(await cluster.WaitForEndAsync(job));
        StateChanged slowEnd = await cluster.WaitForEndAsync(slow);
        double wall = Stopwatch.GetElapsedTime(began).TotalSeconds;
        Assert.All(ends, end => Assert.Equal(JobState.Completed, end.State));
        Assert.All(ends, end => Assert.InRange(end.Usage.ComputeSeconds, 0, 1));
        Assert.InRange(ends.Sum(end => end.Usage.ComputeSeconds) + slowEnd.Usage.ComputeSeconds, 0, wall * 1.5);
    }

    [Fact]
    public async Task ATimeout_TellsTheJobsOwnTime()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a] });
        string job = await cluster.SubmitAsync(a, TestPrograms.ManyOperations(a, 20_000), limit: TimeSpan.FromMilliseconds(300));
        StateChanged end = await cluster.WaitForEndAsync(job);
        Assert.Equal((JobState.Failed, ErrorCode.JobTimeout), (end.State, end.Error.Code));
        Assert.Contains("of its own", end.Error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AJobThatLogsInALoop_DoesNotKeepOthersWaiting()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with
        {
            Models = [a], EventBufferSize = 4, EventBytes = 1L << 34,
        });
        await cluster.RunAsync(a);
        string loop = await cluster.SubmitAsync(a, LogForever(a), limit: TimeSpan.FromSeconds(60));
        await cluster.WaitForStateAsync(loop, JobState.Running);
        long began = Stopwatch.GetTimestamp();
        for (int i = 0; i < 3; i++) await cluster.RunAsync(a);
        Assert.InRange(Stopwatch.GetElapsedTime(began).TotalSeconds, 0, 6); // less than one on an idle machine
        await cluster.Backend.Jobs.CancelAsync(loop, "", WorkerTestCluster.Cancel);
        Assert.Equal(ErrorCode.JobCancelled, (await cluster.WaitForEndAsync(loop)).Error.Code);
    }

    /// <summary>
    /// One key with as many loops as a worker runs jobs kept everyone else waiting until their time limit, ten minutes by default.
    /// </summary>
    [Theory]
    [InlineData(4, false)]
    [InlineData(16, false)]
    [InlineData(16, true)]
    public async Task AnOwnerOfLongJobs_KeepsNoOtherOwnerWaiting(int places, bool inTrace)
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a], MaxBatch = places });
        await cluster.RunAsync(a);
        List<string> loops = [];
        for (int i = 0; i < places + 4; i++)
            loops.Add(await cluster.SubmitAsync(a, LoopForever(a, inTrace), limit: TimeSpan.FromSeconds(60), owner: "eve"));
        for (int i = 0; i < places; i++) await cluster.WaitForStateAsync(loops[i], JobState.Running);

        long began = Stopwatch.GetTimestamp();
        for (int i = 0; i < 3; i++) await cluster.RunAsync(a);
        Assert.InRange(Stopwatch.GetElapsedTime(began).TotalSeconds, 0, 20); // the loops have their limit after 60 s
        Assert.Equal(places, cluster.States.Count(state => state.State is JobState.Running && loops.Contains(state.Job)));

        foreach (string loop in loops) await cluster.Backend.Jobs.CancelAsync(loop, "", WorkerTestCluster.Cancel);
        await cluster.RunAsync(a);
    }

    /// <summary>while true: ones(1)</summary>
    private static Program LoopForever(string model, bool inTrace)
    {
        Program program = LogForever(model);
        var size = new ArgumentList { Items = { new Argument { Integer = 1 } } };
        program.Nodes[1] = new Node { Call = new Call { Op = "ones", Arguments = { new Argument { List = size } } } };
        if (!inTrace) return program;
        Protocol.Messages.Trace trace = TestPrograms.ForwardPass(model).Nodes[0].Trace;
        (trace.Invokes[0].Region, trace.Region) = (3, 4);
        program.Nodes.Add(new Node { Trace = trace });
        program.Regions[0].Nodes[0] = 2;
        program.Regions.Add([new Region { Nodes = { 0 } }, new Region()]);
        return program;
    }

    /// <summary>while true: log(1)</summary>
    private static Program LogForever(string model) => new()
    {
        Version = 1,
        Model = new ModelRef { Id = model },
        Nodes =
        {
            new Node
            {
                While = new While { ConditionRegion = 1, Condition = new Argument { Boolean = true }, Region = 2, Limit = int.MaxValue },
            },
            new Node { Log = new Protocol.Log { Values = { new Argument { Integer = 1 } } } },
        },
        Regions = { new Region { Nodes = { 0 } }, new Region(), new Region { Nodes = { 1 } } },
    };

    private static async Task<LocalRequest> WaitForRequestAsync(WorkerTestCluster cluster, string job)
    {
        await foreach (Event jobEvent in cluster.Backend.Jobs.WatchAsync(job, 1, WorkerTestCluster.Cancel))
            if (jobEvent.Local is { } request) return request;
        throw new InvalidOperationException($"{job} asked for nothing");
    }
}
