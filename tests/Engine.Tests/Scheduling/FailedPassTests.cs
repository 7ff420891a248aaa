using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Scheduling;

/// <summary>A pass that several jobs share fails in the model because of one of them, and the others start again.</summary>
public sealed class FailedPassTests : SchedulingTests
{
    private const int Steps = 100;

    [Fact]
    public void TheOthers_DoNotPayForWhatTheyHaveLost()
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel) { MaxStatementTime = TimeSpan.FromHours(1) };
        using var never = new CancellationTokenSource();
        var time = new ExecutionTimer(TimeSpan.FromMinutes(10), never);
        JobRun generation = Add(scheduler, "generation", Generation(Steps), time: time);
        while (generation.ForwardPassCount < Steps / 2) scheduler.Step();
        TimeSpan before = time.Used;
        JobRun bad = Add(scheduler, "bad", BadGeneration());
        while (generation.ForwardPassCount >= Steps / 2 && scheduler.JobCount > 0) scheduler.Step();
        Assert.InRange(generation.ForwardPassCount, 0, Steps / 2 - 1);
        Assert.InRange(time.Used, TimeSpan.Zero, before / 2);
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Null(generation.Error);
        Assert.Equal(ErrorCode.OpFailed, bad.Error!.Code);
    }

    /// <summary>One that was cancelled before it failed alone was not found to be at fault.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AnOwnerWhoseJobFailsAPass_SharesNoneForAWhile(bool isCancelled)
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel) { MaxStatementTime = TimeSpan.FromMilliseconds(10) };
        Add(scheduler, "bad alone", BadGeneration()); // compiles the code, which takes longer than a statement may
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Equal([1, 0, 0], [CountRestarts(), CountRestarts(), CountRestarts()]);

        int CountRestarts()
        {
            using var cancelBad = new CancellationTokenSource();
            using var never = new CancellationTokenSource();
            JobRun generation = Add(scheduler, "generation", Generation(Steps), time: new(TimeSpan.FromMinutes(10), never));
            JobRun? bad = null;
            (long last, int restarts) = (0, 0);
            while (scheduler.JobCount > 0)
            {
                scheduler.Step();
                if (generation.ForwardPassCount < last)
                {
                    restarts++;
                    if (isCancelled) cancelBad.Cancel();
                }
                last = generation.ForwardPassCount;
                if (bad is null && last >= Steps / 2) bad = Add(scheduler, "bad", BadGeneration(), owner: "eve", cancel: cancelBad.Token);
            }
            Assert.Null(generation.Error);
            return restarts;
        }
    }

    [Fact]
    public void TheOthers_ShareStepsAgain_WhenTheyHavePassedThePoint()
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel);
        List<int> sharers = [];
        JobRun[] generations = [AddGeneration("a"), AddGeneration("b")];
        while (generations.Min(job => job.ForwardPassCount) < 10 && scheduler.JobCount > 0) scheduler.Step();
        Assert.All(generations, job => Assert.Null(job.Error));
        Add(scheduler, "bad", BadGeneration());
        while (generations.Max(job => job.ForwardPassCount) >= 10 && scheduler.JobCount > 0) scheduler.Step();
        sharers.Clear();
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.All(generations, job => Assert.Null(job.Error));
        Assert.Equal(1, sharers[0]);
        Assert.InRange(sharers.Count(count => count == 2), Steps, 2 * Steps); // of 2 * 100, some 20 ran alone

        JobRun AddGeneration(string name)
        {
            var time = new ExecutionTimer(TimeSpan.FromMinutes(10), new CancellationTokenSource());
            Program program = Fixture.RecordIn(Model.Generate(Prompt, Steps, new() { IgnoreEos = true }), t =>
            {
                t.Iter.Each(_ => t.Log(Model.Layers[0].Hidden.Sum()));
            });
            return Add(scheduler, name, program, time: time, onLog: () =>
            {
                int count = time.Suspend();
                sharers.Add(count);
                time.Start(count);
            });
        }
    }

    [Fact]
    public void AJob_StartsAgainTwiceAtMost_WhoeverJoinsIt()
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel) { MaxStatementTime = TimeSpan.FromHours(1) };
        JobRun generation = Add(scheduler, "generation", Generation(Steps));
        (long last, int restarts) = (0, 0);
        JobRun? bad = null;
        while (!Ended.Contains("generation") && restarts < 10)
        {
            scheduler.Step();
            if (generation.ForwardPassCount < last) restarts++;
            last = generation.ForwardPassCount;
            if (last > 10 && bad is not { IsStopped: false }) bad = Add(scheduler, $"bad {Jobs.Count}", BadGeneration());
        }
        Assert.Equal(2, restarts);
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Null(generation.Error);
        Assert.All(Jobs.Skip(1), job => Assert.Equal(ErrorCode.OpFailed, job.Error!.Code));
    }

    /// <summary>Alone it does nothing wrong, so that it is not found to be at fault.</summary>
    [Fact]
    public void AJobThatFailsWhatItShares_DoesSoTwice()
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel) { MaxStatementTime = TimeSpan.FromHours(1) };
        JobRun generation = Add(scheduler, "generation", Generation(Steps)), bad = AddFailingWhereShared(scheduler, "bad");
        (long last, int restarts) = (0, 0);
        while (scheduler.JobCount > 0 && restarts < 10)
        {
            scheduler.Step();
            if (generation.ForwardPassCount < last) restarts++;
            last = generation.ForwardPassCount;
        }
        Assert.Equal(2, restarts);
        Assert.All(Jobs, job => Assert.Null(job.Error));
        Assert.Equal(60, bad.ForwardPassCount);
    }

    /// <summary>What is edited in place is in the model already.</summary>
    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 1)]
    public void WhatAJobHasWritten_IsNotApplied_IfItFailsAtThatPoint(bool isInPlace, int expectedRestarts)
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel) { MaxStatementTime = TimeSpan.FromHours(1) };
        var outcome = new JobOutcome();
        JobRun generation = Add(scheduler, "generation", Generation(Steps), outcome: outcome);
        while (generation.ForwardPassCount < Steps / 2 && scheduler.JobCount > 0) scheduler.Step();
        JobRun bad = Add(scheduler, "bad", WritesAndFails(isInPlace));
        (long last, int restarts) = (0, 0);
        while (scheduler.JobCount > 0)
        {
            scheduler.Step();
            if (generation.ForwardPassCount < last) restarts++;
            last = generation.ForwardPassCount;
        }
        Assert.Equal(expectedRestarts, restarts);
        Assert.Equal(ErrorCode.IndexOutOfRange, bad.Error!.Code);
        outcome.Error = generation.Error;
        OutcomeAssert.Same(Fixture.Run(Generation(Steps))[0].AssertCompleted(), outcome, "beside a job that fails");
    }

    [Fact]
    public void WhatWasReported_IsNotReportedAgain_AfterTwoRestarts()
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel);
        int logs = 0;
        JobRun job = Add(scheduler, "job", Fixture.RecordIn(Model.Generate(Prompt, Steps, new() { IgnoreEos = true }), t =>
        {
            t.Iter.Each(_ => t.Log(Model.Layers[0].Hidden.Sum()));
        }), onLog: () => logs++);
        foreach (int passes in (int[])[30, 10])
        {
            while (job.ForwardPassCount < passes && scheduler.JobCount > 0) scheduler.Step();
            Assert.Null(job.Error);
            job.Preempt();
            while (job.ForwardPassCount >= passes && scheduler.JobCount > 0) scheduler.Step();
        }
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Null(job.Error);
        Assert.Equal(Steps, logs);
    }
}
