using System.Diagnostics;
using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Scheduling;

/// <summary>
/// One long operation, a loop of operations that are long for a time slice, or a generation of many rows does not keep other jobs of the
/// model waiting.
/// </summary>
public sealed class LongOperationsTests : SchedulingTests
{
    /// <summary>
    /// Operations of at least 5 s on an idle machine, one that is divided and one that runs in another process; and one of half a second
    /// that can be neither divided nor stopped.
    /// </summary>
    public static TheoryData<string, string> LongOperations => new MatrixTheoryData<string, string>(
        ["a product", "a factorization", "a short factorization"], ["between traces", "in a pass", "in a generation"]);

    [Theory]
    [MemberData(nameof(LongOperations))]
    public void BesideALongOperation_OthersGoOn(string operation, string place)
    {
        bool hasBegun = false, hasEnded = false, areAdded = false;
        int victims = 0;
        Action addVictims = () => { };
        using var scheduler = new ModelScheduler(Fixture.HookedModel, onPreemptionPoint: () => addVictims());
        using var cancel = new CancellationTokenSource();
        Add(scheduler, "attacker", At(place, t =>
        {
            t.Log("begins");
            if (operation == "a product")
            {
                Value x = Op.Ones(new long[] { 7000, 7000 });
                x.Mm(x).Sum().Save("sum");
            }
            else
            {
                long size = operation == "a factorization" ? 3000 : 900;
                Op.LinalgSvdVals(Op.Rand(new long[] { size, size })).Sum().Save("sum");
            }
        }), cancel: cancel.Token, onLog: () => hasBegun = true, onEnded: () => hasEnded = true);
        addVictims = () =>
        {
            if (areAdded || !hasBegun) return;
            areAdded = true;
            Add(scheduler, "trace", Fixture.Record(Prompt, _ => Model.Logits.Save("x")), onEnded: VictimEnded);
            Add(scheduler, "hidden", Fixture.Record(Prompt, _ => Model.Layers[0].Hidden.Save("x")), onEnded: VictimEnded);
            Add(scheduler, "generation", Generation(5), onEnded: VictimEnded);
        };
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Equal(3, victims);
        Assert.All(Jobs.Skip(1), job => Assert.Null(job.Error));
        Assert.Equal(ErrorCode.JobCancelled, Jobs[0].Error!.Code);

        void VictimEnded()
        {
            Assert.False(hasEnded, "The operation ended before the other jobs.");
            if (++victims == 3) cancel.Cancel();
        }
    }

    /// <summary>The job waits for the end of what cannot be stopped; others do not.</summary>
    [Fact]
    public void ACancelledOperation_KeepsNobodyWaiting()
    {
        Action addVictim = () => { };
        using var scheduler = new ModelScheduler(Fixture.HookedModel, onPreemptionPoint: () => addVictim());
        using var cancel = new CancellationTokenSource();
        Program victim = Generation(5);
        // half of what would run in another process, which ends at once
        Add(scheduler, "attacker", At("in a pass", t => Op.LinalgSvdVals(Op.Rand(new long[] { 1000, 1000 })).Sum().Save("sum")),
            cancel: cancel.Token);
        addVictim = () =>
        {
            if (cancel.IsCancellationRequested
                || !new StackTrace().GetFrames().Any(frame => frame.GetMethod()?.Name == nameof(OperationLimits.RunBesideOthers))) return;
            cancel.Cancel();
            Add(scheduler, "victim", victim);
        };
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Equal(["victim", "attacker"], Ended);
        Assert.Null(Jobs[1].Error);
        Assert.Equal(ErrorCode.JobCancelled, Jobs[0].Error!.Code);
    }

    /// <summary>In the middle of the innermost nobody else could run.</summary>
    [Fact]
    public void TheOperationsOfOneOwner_AreNotNestedInEachOther()
    {
        const int Count = 8, Most = 2;
        (int added, int begun, int most) = (0, 0, 0);
        Action addNext = () => { };
        using var scheduler = new ModelScheduler(Fixture.HookedModel, onPreemptionPoint: () => addNext());
        Program program = At("in a pass", t =>
        {
            t.Log("begins");
            t.Log(Op.LinalgSvdVals(Op.Rand(new long[] { 600, 600 })).Sum());
        });
        addNext = () =>
        {
            most = Math.Max(most, new StackTrace().GetFrames().Count(frame => frame.GetMethod()?.Name is "RunOthers"));
            if (added == Count || added > begun) return;
            int logs = 0;
            Add(scheduler, $"{added++}", program, "attacker", onLog: () =>
            {
                if (++logs == 1) begun++;
            });
        };
        do
        {
            addNext();
            scheduler.Step();
        } while (scheduler.JobCount > 0);
        Assert.Equal(Count, Ended.Count);
        Assert.InRange(most, 1, Most);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(6)]
    public void OthersGetAsMuchTime_AsALoopOfSlowStatements(int loops)
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel);
        using var cancel = new CancellationTokenSource();
        int statements = 0;
        for (int i = 0; i < loops; i++)
            Add(scheduler, $"loop {i}", At("between traces", t =>
            {
                Value x = Op.Rand(new long[] { 400, 400 });
                Variable count = t.Variable(0);
                t.While(() => count.Value < 100_000, () =>
                {
                    t.Log(Op.LinalgSvdVals(x)[0]); // tens of milliseconds
                    count.Set(count.Value + 1);
                }, int.MaxValue);
            }), "attacker", cancel.Token, onLog: () => statements++);
        while (statements < 2 * loops) scheduler.Step();
        statements = 0;
        bool hasEnded = false;
        Add(scheduler, "generation", Generation(60), onEnded: () => hasEnded = true, owner: "victim");
        while (!hasEnded && statements < 60) scheduler.Step();
        Assert.True(hasEnded);
        Assert.InRange(statements, 0, 20); // it would be one for each token
        cancel.Cancel();
        while (scheduler.JobCount > 0) scheduler.Step();
    }

    /// <summary>A token of a generation of one row does not wait for the thousands of rows of another owner.</summary>
    [Fact]
    public void OthersGetAsMuchTime_AsAGenerationOfManyRows()
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel);
        int[][] rows = [.. Enumerable.Repeat(Prompt, 3000)];
        bool hasEnded = false, hasManyEnded = false;
        Add(scheduler, "many", Fixture.RecordIn(Model.Generate(rows, 20, new() { IgnoreEos = true, RepetitionPenalty = 1.1 }),
            t => t.Result.Save("ids")), onEnded: () => hasManyEnded = true);
        scheduler.Step();
        scheduler.Step();
        Add(scheduler, "one", Generation(40), onEnded: () => hasEnded = true);
        while (!hasEnded && !hasManyEnded) scheduler.Step();
        Assert.True(hasEnded); // with the others in one batch, its 40 tokens would need more steps than they have
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.All(Jobs, job => Assert.Null(job.Error));
    }

    /// <summary>Statements that are short for themselves keep a pass waiting together.</summary>
    [Fact]
    public void StatementsOfAllJobsOfAnOwner_CountForThePassThatTheyShareWithOthers()
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel) { MaxStatementTime = TimeSpan.FromMilliseconds(20) };
        const int Count = 10;
        for (int i = 0; i < Count; i++)
            Add(scheduler, $"loop {i}", At("in a pass", t =>
            {
                Value x = Op.Rand(new long[] { 200, 200 });
                t.ForEach(Enumerable.Range(0, 3), _ => t.Log(Op.LinalgSvdVals(x)[0])); // several milliseconds
            }), "attacker");
        Add(scheduler, "trace", Fixture.Record(Prompt, _ => Model.Logits.Save("x")));
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.InRange(Ended.IndexOf("trace"), 0, Count / 2);
        Assert.All(Jobs, job => Assert.Null(job.Error));
    }

    private Program At(string place, Action<Tracer> run)
    {
        switch (place)
        {
            case "between traces":
                using (Session session = Model.Session())
                {
                    run(session);
                    using (Model.Trace(Prompt)) Model.Logits.Save("after");
                    return session.ToProgram();
                }
            case "in a generation":
                return Fixture.RecordIn(Model.Generate(Prompt, 4, new() { IgnoreEos = true }),
                    t => t.Iter.Each(step =>
                    {
                        Model.Layers[0].Hidden.Sum().Save("hidden");
                        t.If(step.Eq(1), () => run(t));
                    }));
            case "in a pass":
                return Fixture.Record(Prompt, t =>
                {
                    Model.Layers[0].Hidden.Save("hidden");
                    run(t);
                    Model.Logits.Save("after");
                });
            default: throw new ArgumentException(place);
        }
    }
}
