using Ndif.Engine.Reuse;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Scheduling;

/// <summary>Jobs that wait for their clients wait for no others, and others do not wait for them.</summary>
public sealed class SuspendedJobsTests : SchedulingTests
{
    private static readonly string[] _places = ["between traces", "in a pass", "in an iteration", "in a backward block", "after the pass"];

    public static TheoryData<string> Places => [.. _places];

    public static TheoryData<string, string> Pairs => new MatrixTheoryData<string, string>(_places, _places);

    /// <summary>
    /// The client of the first job has answered; those of the others, which have begun to wait later, never do. The first one went on after
    /// their time limits, because its stack was below theirs.
    /// </summary>
    [Theory]
    [MemberData(nameof(Pairs))]
    public async Task AJobWhoseClientHasAnswered_DoesNotWaitForThoseOfOthers(string place, string othersPlace)
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel);
        using var never = new CancellationTokenSource();
        var answer = new TaskCompletionSource<Data>();
        int asked = 0;
        JobOutcome outcome = Waiting(answer.Task), alone = Answered();
        Add(scheduler, "first", Asking(place), outcome: outcome);
        for (int i = 0; i < 3; i++)
            Add(scheduler, "other", Asking(othersPlace), cancel: never.Token, outcome: Waiting(new TaskCompletionSource<Data>().Task));
        while (asked < 4) scheduler.Step();
        Assert.Empty(Ended);
        Add(scheduler, "generation", Generation(5));
        Add(scheduler, "gradient", Gradient());
        while (Ended.Count < 2) scheduler.Step();
        Assert.Equal(["generation", "gradient"], Ended.Order());

        answer.SetResult(new Data { Integer = 3 });
        while (Ended.Count < 3) scheduler.Step();
        Assert.Equal("first", Ended[^1]);
        outcome.Error = outcome.Run!.Error;
        await never.CancelAsync();
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Equal(3, Ended.Count(name => name == "other"));
        Assert.Equal(3, Jobs.Count(job => job.Error?.Code is ErrorCode.JobCancelled));

        using (var ownScheduler = new ModelScheduler(Fixture.HookedModel))
        {
            Add(ownScheduler, "alone", Asking(place), outcome: alone);
            while (ownScheduler.JobCount > 0) ownScheduler.Step();
        }
        alone.Error = alone.Run!.Error;
        OutcomeAssert.Same(alone.AssertCompleted(), outcome.AssertCompleted(), place);

        JobOutcome Waiting(Task<Data> reply) => new()
        {
            Answer = () =>
            {
                asked++;
                return reply;
            },
        };
    }

    /// <summary>Two endless jobs take turns. What they have computed is not lost, and their clients are not asked again.</summary>
    [Theory]
    [MemberData(nameof(Places))]
    public void ALongTurnWithLocalCalls_EndsForTheNext_AndGoesOn(string place)
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel, onPreemptionPoint: () => { })
            { MinTimeSlice = TimeSpan.FromMilliseconds(1), MaxStatementTime = TimeSpan.FromMilliseconds(2) };
        using var cancel = new CancellationTokenSource();
        int calls = 0;
        List<string> turns = [];
        foreach (string name in (string[])["a", "b"])
            Add(scheduler, name, Asking(place, endless: true), cancel: cancel.Token, outcome: new JobOutcome
            {
                Answer = () =>
                {
                    calls++;
                    return Task.FromResult(new Data { Integer = 1 });
                },
                OnLog = () =>
                {
                    if (turns.LastOrDefault() != name) turns.Add(name);
                    if (turns.Count >= 4 && Ended.Contains("gradient")) cancel.Cancel();
                },
            });
        Add(scheduler, "gradient", Gradient());
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Equal("gradient", Ended[0]);
        Assert.Null(Jobs[^1].Error);
        Assert.All(Jobs[..^1], job => Assert.Equal(ErrorCode.JobCancelled, job.Error!.Code));
        Assert.Equal(2, calls);
    }

    /// <summary>Each thread has threads of arithmetic of its own, one for each core, and the system grants only so many.</summary>
    [Fact]
    public void AnOwner_HasOnlySoManyThreads()
    {
        const int Most = 8;
        using var scheduler = new ModelScheduler(Fixture.HookedModel);
        using var cancel = new CancellationTokenSource();
        List<TaskCompletionSource<Data>> evesCalls = [], anasCalls = [];
        for (int i = 0; i < Most + 3; i++)
            Add(scheduler, "eve", Asking(_places[i % _places.Length]), cancel: cancel.Token, outcome: Asked(evesCalls));
        for (int i = 0; i < 20; i++) scheduler.Step();
        Assert.Equal(Most, evesCalls.Count);
        Add(scheduler, "ana", Asking("in a pass"), outcome: Asked(anasCalls));
        while (anasCalls.Count == 0) scheduler.Step();
        anasCalls[0].SetResult(new Data { Integer = 1 });
        while (Ended.Count == 0) scheduler.Step();
        Assert.Equal(["ana"], Ended);

        evesCalls[0].SetResult(new Data { Integer = 1 });
        while (evesCalls.Count == Most) scheduler.Step();
        Assert.Equal(["ana", "eve"], Ended);
        cancel.Cancel();
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Equal(Most + 1, evesCalls.Count);

        static JobOutcome Asked(List<TaskCompletionSource<Data>> calls) => new()
        {
            Answer = () =>
            {
                calls.Add(new TaskCompletionSource<Data>());
                return calls[^1].Task;
            },
        };
    }

    /// <summary>As long as a pass goes on, no prompt is dropped.</summary>
    [Fact]
    public void APassThatMayBeSuspended_DoesNotHoldCachedPrompts()
    {
        using var prefixes = new PrefixCache(1 << 20) { IsShared = true };
        using var scheduler = new ModelScheduler(Fixture.HookedModel, prefixes: prefixes);
        int[] prompt = [.. Enumerable.Range(1, 24)];
        Program plain = Fixture.Record(prompt, _ => Model.Logits.Save("x"));
        Program asking = Fixture.Record(prompt, t =>
        {
            Model.Logits.Save("x");
            t.Local([1], values => values[0]).Save("answer");
        });
        foreach (Program program in (Program[])[plain, plain, asking])
        {
            Add(scheduler, "job", program, owner: "ana", outcome: Answered());
            while (scheduler.JobCount > 0) scheduler.Step();
        }
        Assert.Equal((true, 0), (Jobs[1].ReusedLayerCount + Jobs[1].ReusedTokenCount > 0,
            Jobs[2].ReusedLayerCount + Jobs[2].ReusedTokenCount));
    }

    [Fact]
    public void WhatAJobWaits_CountsUntilItsClientHasAnswered()
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel);
        using var never = new CancellationTokenSource();
        var time = new ExecutionTimer(TimeSpan.FromMinutes(1), never);
        var answer = new TaskCompletionSource<Data>();
        Add(scheduler, "job", Asking("in a pass"), time: time, outcome: new JobOutcome { Answer = () => answer.Task });
        scheduler.Step();
        Thread.Sleep(100);
        answer.SetResult(new Data { Integer = 1 });
        Thread.Sleep(500); // another job runs
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Null(Jobs[0].Error);
        Assert.InRange(time.Waited.TotalMilliseconds, 90, 400);
    }

    [Theory]
    [MemberData(nameof(Places))]
    public void WhenTheSchedulerIsDisposed_ASuspendedJobEnds(string place)
    {
        bool isAsked = false;
        using (var scheduler = new ModelScheduler(Fixture.HookedModel))
        {
            Add(scheduler, "job", Asking(place), outcome: new JobOutcome
            {
                Answer = () =>
                {
                    isAsked = true;
                    return new TaskCompletionSource<Data>().Task;
                },
            });
            while (!isAsked) scheduler.Step();
            Assert.Null(Jobs[0].Error);
        }
        Assert.Equal(ErrorCode.JobCancelled, Jobs[0].Error!.Code);
    }

    private static JobOutcome Answered() => new() { Answer = () => Task.FromResult(new Data { Integer = 3 }) };

    /// <summary>A program that asks its client for a number at a place, and then may log forever.</summary>
    private Program Asking(string place, bool endless = false)
    {
        if (place is "between traces")
        {
            using Session session = Model.Session();
            Ask(session);
            using (Model.Trace(Prompt)) Model.Logits.Save("after");
            return session.ToProgram();
        }
        if (place is "in an iteration")
            return Fixture.RecordIn(Model.Generate(Prompt, 4, new() { IgnoreEos = true }), t =>
            {
                t.Iter.Each(step =>
                {
                    Model.Layers[0].Hidden.Sum().Save("sum");
                    t.If(step.Eq(2), () => Ask(t));
                });
                t.Result.Save("ids");
            });
        return Fixture.RecordIn(Model.Trace(Prompt, grad: place is "in a backward block"), t =>
        {
            Value hidden = Model.Layers[0].Hidden;
            hidden.Save("hidden");
            if (place is "in a pass") Ask(t);
            Model.Logits.Save("logits");
            if (place is "in a backward block")
            {
                Value weight = Model.LmHead.Parameter("weight").RequiresGrad();
                t.Backward(Model.Logits.Sum(), () =>
                {
                    hidden.Grad.Save("gradient");
                    Ask(t);
                });
                weight.Grad.Save("weight");
            }
            if (place is not "after the pass") return;
            t.Result["logits"].Save("result");
            Ask(t);
        });

        void Ask(Tracer tracer)
        {
            Value answer = tracer.Local([1], values => values[0]);
            (answer + 1).Save("answer");
            if (endless) tracer.While(() => answer > 0, () => tracer.Log(answer), int.MaxValue);
        }
    }
}
