using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Scheduling;

/// <summary>Which owner has kept the others waiting when a pass that their jobs shared has failed.</summary>
public sealed class JobsAtFaultTests : SchedulingTests
{
    private const int Passes = 3;

    private static readonly string[] _owners = ["ana", "bob", "eve"];

    private readonly OwnerDelays _delays = new();

    [Fact]
    public void OneThatFailsInTheModelAgain_IsAtFault_WhateverEndsTheOthers()
    {
        (ScheduledJob ana, ScheduledJob bob, ScheduledJob eve) = (NewJob("ana"), NewJob("bob"), NewJob("eve"));
        Fail(ana, bob, eve);
        Cancel(ana);
        eve.OnFailedInModel();
        Cancel(eve); // it ends
        Cancel(bob);
        AssertAtFault("eve");
    }

    /// <summary>The order does not matter: the first one was charged before the second one was found.</summary>
    [Fact]
    public void OneThatIsCancelled_IsNotAtFault_WhileAnotherRuns()
    {
        (ScheduledJob ana, ScheduledJob bob) = (NewJob("ana"), NewJob("bob"));
        Fail(ana, bob);
        Cancel(ana);
        AssertAtFault(null);
        Clear(bob);
        AssertAtFault("ana");
    }

    [Fact]
    public void JobsOfTwoOwnersThatAreCancelled_AreNotAtFault()
    {
        (ScheduledJob ana, ScheduledJob bob, ScheduledJob eve) = (NewJob("ana"), NewJob("bob"), NewJob("eve"));
        Fail(ana, bob, eve);
        Cancel(ana);
        Clear(bob);
        Cancel(eve);
        AssertAtFault(null);
    }

    [Fact]
    public void OneThatOnlyReads_IsNotAtFault_IfItIsCancelled()
    {
        (ScheduledJob ana, ScheduledJob bob) = (NewJob("ana", edits: false), NewJob("bob"));
        Fail(ana, bob);
        Clear(bob);
        Cancel(ana);
        AssertAtFault(null);
    }

    /// <summary>It was not among those that ran alone.</summary>
    [Fact]
    public void OneThatHasFailedInAStatementOfThePass_IsAtFault_IfAllOthersAreCleared()
    {
        (ScheduledJob ana, ScheduledJob bob, ScheduledJob eve) = (NewJob("ana"), NewJob("bob"), NewJob("eve"));
        eve.Run.Fail(Errors.CreateException(ErrorCode.IndexOutOfRange, "The index is out of range."), 0);
        Fail(ana, bob, eve);
        Assert.False(eve.TryClear());
        eve.EndSuspicion();
        Clear(ana);
        AssertAtFault(null);
        Clear(bob);
        AssertAtFault("eve");
    }

    [Fact]
    public void AJobIsAlone_UntilItIsCleared_AndTheSecondTimeToItsEnd()
    {
        (ScheduledJob ana, ScheduledJob bob) = (NewJob("ana"), NewJob("bob"));
        Fail(ana, bob);
        Assert.True(ana.IsAlone);
        Clear(ana);
        Assert.False(ana.IsAlone);
        Start(ana);
        Fail(ana);
        Clear(ana);
        Assert.True(ana.IsAlone);
    }

    /// <summary>A job in the third pass of a generation, of which it has used some time.</summary>
    private ScheduledJob NewJob(string owner, bool edits = true)
    {
        using var never = new CancellationTokenSource();
        var time = new ExecutionTimer(TimeSpan.FromMinutes(10), never);
        time.Start(sharers: 1);
        Program program = Fixture.RecordIn(Model.Generate(Prompt, 10), t =>
        {
            if (edits) t.Iter.Each(_ => Model.Layers[0].Hidden = Model.Layers[0].Hidden * 2);
            else t.Iter.Each(_ => t.Log(Model.Layers[0].Hidden.Sum()));
        });
        var run = new JobRun(Compiler.Compile(program, Fixture.HookedModel), new JobOutcome()) { Owner = owner, ExecutionTimer = time };
        time.Stop();
        Jobs.Add(run);
        var job = new ScheduledJob(run, null);
        Start(job);
        return job;
    }

    private void Start(ScheduledJob job)
    {
        job.Session.Run();
        job.BeginTrace(Fixture.HookedModel);
        job.Run.ForwardPassCount = Passes;
    }

    /// <summary>A pass of these jobs has failed.</summary>
    private void Fail(params ScheduledJob[] jobs)
    {
        var pass = new FailedPass(_delays);
        foreach (ScheduledJob job in jobs) job.OnSharedPassFailed(pass);
        Assert.All(jobs, job => Assert.True(job.IsSuspect));
    }

    private static void Clear(ScheduledJob job)
    {
        job.Run.ForwardPassCount = Passes - 1;
        Assert.False(job.TryClear());
        job.Run.ForwardPassCount = Passes;
        Assert.True(job.TryClear());
    }

    private static void Cancel(ScheduledJob job)
    {
        job.Run.Fail(new OperationCanceledException(), 0);
        job.EndSuspicion();
    }

    private void AssertAtFault(string? owner) =>
        Assert.Equal(owner, _owners.SingleOrDefault(name => _delays.Of(name) > TimeSpan.Zero));
}
