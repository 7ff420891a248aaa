using System.Diagnostics;
using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Scheduling;

/// <summary>Loops of statements do not keep other jobs of the model waiting, wherever they run.</summary>
public sealed class LongStatementsTests : IDisposable
{
    private static readonly int[] _prompt = [1, 2, 3];

    private readonly EngineFixture _fixture = EngineFixture.Llama();
    private readonly List<JobRun> _jobs = [];
    private readonly List<string> _ended = [];

    private LanguageModel Model => _fixture.Model;

    public void Dispose()
    {
        foreach (JobRun job in _jobs) job.Dispose();
        _fixture.Dispose();
    }

    public static TheoryData<string, bool> Places => new MatrixTheoryData<string, bool>(
        ["between traces", "in a pass", "before the first module", "after the pass", "in an iteration", "in a backward block",
            "in a backward block between traces"], [false, true]);

    [Theory]
    [MemberData(nameof(Places))]
    public void BesideAnEndlessLoop_OthersGoOn(string place, bool startsTogether)
    {
        Action addVictims = () => { };
        using var scheduler = new ModelScheduler(_fixture.HookedModel, onPreemptionPoint: () => addVictims.Invoke());
        using var cancel = new CancellationTokenSource();
        var time = new ExecutionTimer(TimeSpan.FromSeconds(20), cancel);
        var wait = new Stopwatch();
        bool isAdded = false, isLooping = startsTogether;
        TimeSpan usedByLoop = TimeSpan.Zero;
        JobRun loop = Add(scheduler, "loop", Loop(place, long.MaxValue), time, cancel.Token, onLog: () => isLooping = true);
        addVictims = AddVictims;
        do
        {
            AddVictims();
            scheduler.Step();
        } while (scheduler.JobCount > 0);
        Assert.Equal("loop", _ended[^1]);
        Assert.Equal(["generation", "gradient", "trace"], _ended[..^1].Order());
        Assert.All(_jobs.Where(job => job != loop), job => Assert.Null(job.Error));
        Assert.Equal(ErrorCode.JobCancelled, loop.Error!.Code);
        Assert.True(wait.Elapsed < TimeSpan.FromSeconds(5), $"{wait.Elapsed}"); // half a second on an idle machine
        Assert.InRange(usedByLoop.TotalSeconds, 0, 3);

        void AddVictims()
        {
            if (isAdded || !isLooping) return;
            isAdded = true;
            wait.Start();
            Add(scheduler, "trace", _fixture.Record(_prompt, _ => Model.Logits.Save("x")), onEnded: VictimEnded);
            Add(scheduler, "gradient", Gradient(), onEnded: VictimEnded);
            Add(scheduler, "generation", Generation(5), onEnded: VictimEnded);
        }

        void VictimEnded()
        {
            if (_ended.Count < 3) return;
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
        JobOutcome alone = _fixture.Run(program)[0].AssertCompleted(), batched = new();
        using (var scheduler = new ModelScheduler(_fixture.HookedModel)
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
        Assert.All(_jobs, job => Assert.Null(job.Error));
        OutcomeAssert.Same(alone, batched, place);
    }

    [Fact]
    public void OwnersTakeTurns_WhereStatementsAreLong()
    {
        using var scheduler = new ModelScheduler(_fixture.HookedModel) { MinTimeSlice = TimeSpan.FromMilliseconds(1) };
        for (int i = 0; i < 4; i++) Add(scheduler, $"flood {i}", Loop("between traces", 3000), owner: "flood");
        Add(scheduler, "single", Loop("between traces", 3000), owner: "single");
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Equal("single", _ended[0]);
    }

    [Theory]
    [MemberData(nameof(Places))]
    public void ALoop_CanBeCancelled_WhileOthersRun(string place, bool startsTogether)
    {
        using var scheduler = new ModelScheduler(_fixture.HookedModel);
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
        while (!_ended.Contains("loop")) scheduler.Step();
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
            using (Model.Trace(_prompt)) Model.Logits.Save("after");
            return session.ToProgram();
        }
        if (place is "in an iteration")
            return _fixture.RecordIn(Model.Generate(_prompt, 4, new() { IgnoreEos = true }), t =>
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
        return _fixture.RecordIn(Model.Trace(_prompt, grad: place is "in a backward block"), t =>
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

    private JobRun Add(ModelScheduler scheduler, string name, Program program, ExecutionTimer? time = null,
        CancellationToken? cancel = null, string owner = "", Action? onLog = null, Action? onEnded = null, JobOutcome? outcome = null)
    {
        var job = new JobRun(Compiler.Compile(program, _fixture.HookedModel), outcome ?? new JobOutcome { OnLog = onLog },
            cancellationToken: cancel ?? TestContext.Current.CancellationToken) { Owner = owner, ExecutionTimer = time };
        _jobs.Add(job);
        scheduler.Add(job, () =>
        {
            _ended.Add(name);
            onEnded?.Invoke();
        });
        return job;
    }

    private Program Gradient() => _fixture.RecordIn(Model.Trace(_prompt, grad: true), t =>
    {
        Value weight = Model.LmHead.Parameter("weight").RequiresGrad(), hidden = Model.Layers[0].Hidden;
        t.Backward(Model.Logits.Sum(), () => hidden.Grad.Save("gradient"));
        weight.Grad.Save("weight");
    });

    private Program Generation(int steps) =>
        _fixture.RecordIn(Model.Generate(_prompt, steps, new() { IgnoreEos = true }), t => t.Result.Save("ids"));
}
