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
public sealed class LongOperationsTests : IDisposable
{
    private static readonly int[] _prompt = [1, 2, 3];

    private readonly EngineFixture _fixture = EngineFixture.Llama();
    private readonly List<JobRun> _jobs = [];

    private LanguageModel Model => _fixture.Model;

    public void Dispose()
    {
        foreach (JobRun job in _jobs) job.Dispose();
        _fixture.Dispose();
    }

    /// <summary>Operations of at least 5 s on an idle machine: one that is divided, and one that runs in another process.</summary>
    public static TheoryData<string, string> LongOperations => new MatrixTheoryData<string, string>(
        ["a product", "a factorization"], ["between traces", "in a pass", "in a generation"]);

    [Theory]
    [MemberData(nameof(LongOperations))]
    public void BesideALongOperation_OthersGoOn(string operation, string place)
    {
        bool hasBegun = false, hasEnded = false, areAdded = false;
        int victims = 0;
        Action addVictims = () => { };
        using var scheduler = new ModelScheduler(_fixture.HookedModel, onPreemptionPoint: () => addVictims());
        using var cancel = new CancellationTokenSource();
        Add(scheduler, "attacker", At(place, t =>
        {
            t.Log("begins");
            Value x = operation == "a product" ? Op.Ones(new long[] { 7000, 7000 }) : Op.Rand(new long[] { 3000, 3000 });
            (operation == "a product" ? x.Mm(x).Sum() : Op.LinalgSvdVals(x).Sum()).Save("sum");
        }), cancel.Token, () => hasBegun = true, () => hasEnded = true);
        addVictims = () =>
        {
            if (areAdded || !hasBegun) return;
            areAdded = true;
            Add(scheduler, "trace", _fixture.Record(_prompt, _ => Model.Logits.Save("x")), onEnded: VictimEnded);
            Add(scheduler, "hidden", _fixture.Record(_prompt, _ => Model.Layers[0].Hidden.Save("x")), onEnded: VictimEnded);
            Add(scheduler, "generation", Generation(5), onEnded: VictimEnded);
        };
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Equal(3, victims);
        Assert.All(_jobs.Skip(1), job => Assert.Null(job.Error));
        Assert.Equal(ErrorCode.JobCancelled, _jobs[0].Error!.Code);

        void VictimEnded()
        {
            Assert.False(hasEnded, "The operation ended before the other jobs.");
            if (++victims == 3) cancel.Cancel();
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(6)]
    public void OthersGetAsMuchTime_AsALoopOfSlowStatements(int loops)
    {
        using var scheduler = new ModelScheduler(_fixture.HookedModel);
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
            }), cancel.Token, () => statements++, owner: "attacker");
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
        using var scheduler = new ModelScheduler(_fixture.HookedModel);
        int[][] rows = [.. Enumerable.Repeat(_prompt, 3000)];
        bool hasEnded = false, hasManyEnded = false;
        Add(scheduler, "many", _fixture.RecordIn(Model.Generate(rows, 20, new() { IgnoreEos = true, RepetitionPenalty = 1.1 }),
            t => t.Result.Save("ids")), onEnded: () => hasManyEnded = true);
        scheduler.Step();
        scheduler.Step();
        Add(scheduler, "one", Generation(40), onEnded: () => hasEnded = true);
        while (!hasEnded && !hasManyEnded) scheduler.Step();
        Assert.True(hasEnded); // with the others in one batch, its 40 tokens would need more steps than they have
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.All(_jobs, job => Assert.Null(job.Error));
    }

    private Program At(string place, Action<Tracer> run)
    {
        switch (place)
        {
            case "between traces":
                using (Session session = Model.Session())
                {
                    run(session);
                    using (Model.Trace(_prompt)) Model.Logits.Save("after");
                    return session.ToProgram();
                }
            case "in a generation":
                return _fixture.RecordIn(Model.Generate(_prompt, 4, new() { IgnoreEos = true }),
                    t => t.Iter.Each(step =>
                    {
                        Model.Layers[0].Hidden.Sum().Save("hidden");
                        t.If(step.Eq(1), () => run(t));
                    }));
            case "in a pass":
                return _fixture.Record(_prompt, t =>
                {
                    Model.Layers[0].Hidden.Save("hidden");
                    run(t);
                    Model.Logits.Save("after");
                });
            default: throw new ArgumentException(place);
        }
    }

    private void Add(ModelScheduler scheduler, string name, Program program, CancellationToken? cancel = null, Action? onLog = null,
        Action? onEnded = null, string? owner = null)
    {
        var job = new JobRun(Compiler.Compile(program, _fixture.HookedModel), new JobOutcome { OnLog = onLog },
            cancellationToken: cancel ?? TestContext.Current.CancellationToken) { Owner = owner ?? name };
        _jobs.Add(job);
        scheduler.Add(job, onEnded);
    }

    private Program Generation(int steps) =>
        _fixture.RecordIn(Model.Generate(_prompt, steps, new() { IgnoreEos = true }), t => t.Result.Save("ids"));
}
