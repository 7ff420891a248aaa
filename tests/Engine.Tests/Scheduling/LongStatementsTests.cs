using System.Diagnostics;
using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Scheduling;

/// <summary>Loops of statements do not keep other jobs of the model waiting, wherever they run.</summary>
public sealed class LongStatementsTests : SchedulingTests
{
    public static TheoryData<string, bool> Places => new MatrixTheoryData<string, bool>(
        ["between traces", "in a pass", "before the first module", "after the pass", "in an iteration", "in a backward block",
            "in a backward block between traces"], [false, true]);

    public static TheoryData<string, bool, string?> PlacesAndOwners
    {
        get
        {
            var data = new TheoryData<string, bool, string?>();
            foreach (TheoryDataRow<string, bool> row in Places)
            {
                (string place, bool startsTogether) = row.Data;
                data.Add(place, startsTogether, null);
                data.Add(place, startsTogether, "the owner of all");
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(PlacesAndOwners))]
    public void BesideAnEndlessLoop_OthersGoOn(string place, bool startsTogether, string? owner)
    {
        Action addVictims = () => { };
        using var scheduler = new ModelScheduler(Fixture.HookedModel, onPreemptionPoint: () => addVictims.Invoke());
        using var cancel = new CancellationTokenSource();
        var time = new ExecutionTimer(TimeSpan.FromSeconds(20), cancel);
        var wait = new Stopwatch();
        bool isAdded = false, isLooping = startsTogether;
        TimeSpan usedByLoop = TimeSpan.Zero;
        JobRun loop = Add(scheduler, "loop", Loop(place, long.MaxValue), owner, cancel.Token, time, onLog: () => isLooping = true);
        addVictims = AddVictims;
        do
        {
            AddVictims();
            scheduler.Step();
        } while (scheduler.JobCount > 0);
        Assert.Equal("loop", Ended[^1]);
        Assert.Equal(["generation", "gradient", "trace"], Ended[..^1].Order());
        Assert.All(Jobs.Where(job => job != loop), job => Assert.Null(job.Error));
        Assert.Equal(ErrorCode.JobCancelled, loop.Error!.Code);
        Assert.True(wait.Elapsed < TimeSpan.FromSeconds(5), $"{wait.Elapsed}"); // half a second on an idle machine
        Assert.InRange(usedByLoop.TotalSeconds, 0, 3);

        void AddVictims()
        {
            if (isAdded || !isLooping) return;
            isAdded = true;
            wait.Start();
            Add(scheduler, "trace", Fixture.Record(Prompt, _ => Model.Logits.Save("x")), owner, onEnded: VictimEnded);
            Add(scheduler, "gradient", Gradient(), owner, onEnded: VictimEnded);
            Add(scheduler, "generation", Generation(5), owner, onEnded: VictimEnded);
        }

        void VictimEnded()
        {
            if (Ended.Count < 3) return;
            wait.Stop();
            usedByLoop = time.Used;
            cancel.Cancel();
        }
    }

    [Theory]
    [MemberData(nameof(Places))]
    public void ABatchedLoop_HasTheResultsThatItHasAlone(string place, bool startsTogether)
    {
        Program program = Loop(place, 600);
        JobOutcome alone = Fixture.Run(program)[0].AssertCompleted(), batched = new();
        using (var scheduler = new ModelScheduler(Fixture.HookedModel)
            { MinTimeSlice = TimeSpan.FromMilliseconds(1), MaxStatementTime = TimeSpan.FromMilliseconds(2) })
        {
            JobRun? loop = null;
            if (startsTogether) loop = Add(scheduler, "loop", program, outcome: batched);
            for (int i = 0; i < 3; i++) Add(scheduler, "generation", Generation(5 + i));
            Add(scheduler, "gradient", Gradient());
            Add(scheduler, "session", Loop("between traces", 600));
            scheduler.Step();
            loop ??= Add(scheduler, "loop", program, outcome: batched);
            while (scheduler.JobCount > 0) scheduler.Step();
            batched.Error = loop.Error;
        }
        Assert.All(Jobs, job => Assert.Null(job.Error));
        OutcomeAssert.Same(alone, batched, place);
    }

    /// <summary>A cache copies what a module returns, which takes time as a statement does.</summary>
    [Fact]
    public void ManyCaches_LeaveAPass_AndHaveTheResultsThatTheyHaveAlone()
    {
        Program program = Fixture.RecordIn(Model.Generate(Prompt, 10, new() { IgnoreEos = true }), t =>
        {
            for (int i = 0; i < 300; i++) t.Cache();
        });
        Program generation = Fixture.RecordIn(Model.Generate(Prompt, 10, new() { IgnoreEos = true }), t =>
        {
            t.Iter.Each(_ => t.Log(Model.Layers[0].Hidden.Sum()));
        });
        JobOutcome alone = Fixture.Run(program)[0].AssertCompleted(), batched = new();
        using var scheduler = new ModelScheduler(Fixture.HookedModel) { MaxStatementTime = TimeSpan.FromMilliseconds(20) };
        using var never = new CancellationTokenSource();
        var time = new ExecutionTimer(TimeSpan.FromMinutes(10), never);
        List<int> sharers = []; // of each step of the generation
        JobRun caches = Add(scheduler, "caches", program, outcome: batched);
        Add(scheduler, "generation", generation, time: time, onLog: () =>
        {
            sharers.Add(time.Suspend());
            time.Start(sharers[^1]);
        });
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.All(Jobs, job => Assert.Null(job.Error));
        Assert.Equal(10, sharers.Count);
        Assert.All(sharers.Skip(4), count => Assert.Equal(1, count)); // it leaves in one of the first steps
        batched.Error = caches.Error;
        OutcomeAssert.Same(alone, batched, "caches");
    }

    [Fact]
    public void BetweenTheContainersThatAJobSaves_OthersRun()
    {
        const int Lists = 200;
        using var scheduler = new ModelScheduler(Fixture.HookedModel) { MinTimeSlice = TimeSpan.FromMilliseconds(1) };
        using Session session = Model.Session();
        for (int i = 0; i < Lists; i++) session.List().Save($"{i}");
        Program program = session.ToProgram(), trace = Fixture.Record(Prompt, _ => Model.Logits.Save("x"));
        Fixture.Run(trace); // compiles the code, which takes longer than a slice
        (int saved, int savedBefore) = (0, 0);
        Add(scheduler, "lists", program, outcome: new JobOutcome
        {
            OnSaved = () =>
            {
                if (++saved == 1) Add(scheduler, "trace", trace, onEnded: () => savedBefore = saved);
                Thread.Sleep(1);
            },
        });
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.All(Jobs, job => Assert.Null(job.Error));
        Assert.InRange(savedBefore, 1, Lists - 1);
        Assert.Equal(Lists, saved);
    }

    [Fact]
    public void OwnersTakeTurns_WhereStatementsAreLong()
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel) { MinTimeSlice = TimeSpan.FromMilliseconds(1) };
        for (int i = 0; i < 4; i++) Add(scheduler, $"flood {i}", Loop("between traces", 3000), owner: "flood");
        Add(scheduler, "single", Loop("between traces", 3000), owner: "single");
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Equal("single", Ended[0]);
    }

    /// <summary>A generation has about half of the time, not one token for each slice of the loop.</summary>
    [Theory]
    [MemberData(nameof(Places))]
    public void OthersGetAsMuchTime_AsALoop(string place, bool startsTogether)
    {
        Action addGeneration = () => { };
        using var scheduler = new ModelScheduler(Fixture.HookedModel, onPreemptionPoint: () => addGeneration());
        using var cancel = new CancellationTokenSource();
        using var never = new CancellationTokenSource();
        var time = new ExecutionTimer(TimeSpan.FromMinutes(1), cancel);
        var timeOfOther = new ExecutionTimer(TimeSpan.FromMinutes(1), never);
        bool isLooping = startsTogether, isAdded = false;
        TimeSpan before = TimeSpan.Zero, usedByLoop = TimeSpan.Zero;
        Program generation = Generation(100);
        Add(scheduler, "loop", Loop(place, long.MaxValue), cancel: cancel.Token, time: time, onLog: () => isLooping = true);
        addGeneration = () =>
        {
            if (isAdded || !isLooping) return;
            (isAdded, before) = (true, time.Used);
            Add(scheduler, "generation", generation, time: timeOfOther, onEnded: () =>
            {
                usedByLoop = time.Used - before;
                cancel.Cancel();
            });
        };
        do
        {
            addGeneration();
            scheduler.Step();
        } while (scheduler.JobCount > 0);
        Assert.Equal("generation", Ended[0]);
        // a pass that the loop shares with the generation waits for a quarter of a second before the loop leaves it
        TimeSpan limit = 2 * timeOfOther.Used + 3 * scheduler.MaxStatementTime;
        Assert.True(usedByLoop < limit, $"{usedByLoop}, {timeOfOther.Used} of the generation");
    }

    /// <summary>Jobs that run in no other's turn wait for each other, but not for an endless one.</summary>
    [Fact]
    public void ALongTurnOfItsOwn_EndsForTheNext()
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel)
            { MinTimeSlice = TimeSpan.FromMilliseconds(1), MaxStatementTime = TimeSpan.FromMilliseconds(2) };
        using var cancel = new CancellationTokenSource();
        Add(scheduler, "endless", Loop("in a pass", long.MaxValue), cancel: cancel.Token);
        Add(scheduler, "trace", Fixture.Record(Prompt, _ => Model.Logits.Save("x"))); // shares the first pass with both
        Add(scheduler, "long", Loop("in a pass", 20_000), onEnded: cancel.Cancel);
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Equal(["trace", "long", "endless"], Ended);
        Assert.Null(Jobs[2].Error);
    }

    /// <summary>One that ends in the middle of another's turn reports what is to be copied after it.</summary>
    [Fact]
    public void ALongTurnOfItsOwn_EndsForAJobThatHasItsResults()
    {
        Action addLarge = () => { };
        using var scheduler = new ModelScheduler(Fixture.HookedModel, onPreemptionPoint: () => addLarge());
        using var cancel = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        Program large = LargeList();
        bool isLooping = false;
        Add(scheduler, "endless", Loop("in a pass", long.MaxValue), cancel: cancel.Token, onLog: () => isLooping = true);
        addLarge = () =>
        {
            if (isLooping && Jobs.Count == 1) Add(scheduler, "large", large, onEnded: cancel.Cancel);
        };
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Equal(["large", "endless"], Ended);
        Assert.Null(Jobs[1].Error);
    }

    /// <summary>
    /// Jobs that had left a turn, in whose middle they ran, did not count among those that wait for the next. A turn that ends before its
    /// pass has computed tokens was no service of its owner.
    /// </summary>
    [Fact]
    public void LongTurns_ArePassedOn_ToAnOwnerWithMoreService()
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel)
            { MinTimeSlice = TimeSpan.FromMilliseconds(1), MaxStatementTime = TimeSpan.FromMilliseconds(2) };
        using var cancel = new CancellationTokenSource();
        Add(scheduler, "busy", Loop("between traces", long.MaxValue), "victim", cancel.Token); // its owner stays
        Add(scheduler, "generation", Generation(50), "victim");
        while (!Ended.Contains("generation")) scheduler.Step();
        var turns = new List<(string Owner, TimeSpan Start)>();
        var time = Stopwatch.StartNew();
        foreach (string owner in (string[])["eve", "eve", "eve", "victim"])
            Add(scheduler, "endless", Loop("in a pass", long.MaxValue), owner, cancel.Token, onLog: () =>
            {
                if (turns.Count == 0 || turns[^1].Owner != owner) turns.Add((owner, time.Elapsed));
                if (time.Elapsed > TimeSpan.FromSeconds(8)) cancel.Cancel();
            });
        while (scheduler.JobCount > 0) scheduler.Step();
        TimeSpan victims = TimeSpan.Zero;
        for (int i = 0; i < turns.Count; i++)
            if (turns[i].Owner == "victim") victims += (i + 1 < turns.Count ? turns[i + 1].Start : time.Elapsed) - turns[i].Start;
        Assert.InRange(victims.TotalSeconds, 1.9, 6.1);
    }

    [Theory]
    [MemberData(nameof(Places))]
    public void ALoop_CanBeCancelled_WhileOthersRun(string place, bool startsTogether)
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel);
        using var cancel = new CancellationTokenSource();
        var wait = new Stopwatch();
        long lines = 0;
        Program victim = Generation(5);
        if (startsTogether) Add(scheduler, "generation", victim);
        JobRun loop = Add(scheduler, "loop", Loop(place, long.MaxValue), cancel: cancel.Token, onLog: () =>
        {
            if (++lines != 50) return;
            wait.Start();
            cancel.Cancel();
        });
        while (!Ended.Contains("loop")) scheduler.Step();
        Assert.Equal(ErrorCode.JobCancelled, loop.Error!.Code);
        Assert.True(wait.ElapsedMilliseconds < 250, $"{wait.Elapsed}");
        while (scheduler.JobCount > 0) scheduler.Step();
    }

    /// <summary>A program with a loop of this many turns, which logs and appends.</summary>
    private Program Loop(string place, long turns)
    {
        if (place.EndsWith("between traces", StringComparison.Ordinal))
        {
            using Session session = Model.Session();
            if (place is "between traces") Run(session, turns);
            else
            {
                Value weight = session.Parameter(TensorData.FromArray(new float[] { 1, 2 }));
                session.Backward((weight * weight).Sum(), () =>
                {
                    weight.Grad.Save("gradient");
                    Run(session, turns);
                });
            }
            using (Model.Trace(Prompt)) Model.Logits.Save("after");
            return session.ToProgram();
        }
        if (place is "in an iteration")
            return Fixture.RecordIn(Model.Generate(Prompt, 4, new() { IgnoreEos = true }), t =>
            {
                ValueList sums = t.List();
                sums.Save("sums");
                t.Iter.Each(step =>
                {
                    sums.Append(Model.Layers[0].Hidden.Sum());
                    t.If(step.Eq(2), () => Run(t, turns));
                });
                t.Result.Save("ids");
            });
        return Fixture.RecordIn(Model.Trace(Prompt, grad: place is "in a backward block"), t =>
        {
            if (place is "before the first module") Run(t, turns);
            Value hidden = Model.Layers[0].Hidden;
            hidden.Save("hidden");
            if (place is "in a pass") Run(t, turns);
            Model.Logits.Save("logits");
            if (place is "in a backward block")
            {
                Value weight = Model.LmHead.Parameter("weight").RequiresGrad();
                t.Backward(Model.Logits.Sum(), () =>
                {
                    hidden.Grad.Save("gradient");
                    Run(t, turns);
                });
                weight.Grad.Save("weight");
            }
            if (place is not "after the pass") return;
            t.Result["logits"].Save("result");
            Run(t, turns);
        });
    }

    /// <summary>A list of a tensor of 36 MB that is not contiguous.</summary>
    private Program LargeList()
    {
        using Session session = Model.Session();
        ValueList list = session.List();
        list.Append(Op.Ones(new long[] { 3000, 3000 }).T());
        list.Save("large");
        return session.ToProgram();
    }

    private static void Run(Tracer tracer, long turns)
    {
        ValueList list = tracer.List();
        list.Save("list");
        Variable count = tracer.Variable(0);
        tracer.While(() => count.Value < turns, () =>
        {
            count.Set(count.Value + 1);
            tracer.Log(count.Value);
            list.Append(count.Value * 2);
        }, int.MaxValue);
    }
}
