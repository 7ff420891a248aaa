using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Scheduling;

public sealed class ModelSchedulerTests : IDisposable
{
    private static readonly int[] _prompt = [1, 2, 3];

    /// <summary>No turn is so long that others run in its middle, on a busy machine either.</summary>
    private static readonly TimeSpan _uninterrupted = TimeSpan.FromHours(1);

    private readonly EngineFixture _fixture = EngineFixture.Llama();
    private readonly List<JobRun> _jobs = [];
    private readonly List<string> _ended = [];

    public void Dispose()
    {
        foreach (JobRun job in _jobs) job.Dispose();
        _fixture.Dispose();
    }

    [Fact]
    public void OwnersTakeTurns_WhereAPassIsForOneTrace()
    {
        using var scheduler = new ModelScheduler(_fixture.HookedModel) { MinTimeSlice = _uninterrupted };
        for (int i = 0; i < 4; i++) Add(scheduler, $"flood {i}", Gradient(), owner: "flood");
        Add(scheduler, "single", Gradient(), owner: "single");
        RunAll(scheduler);
        Assert.InRange(_ended.IndexOf("single"), 0, 1);
    }

    [Fact]
    public void AnOwnerOfTwiceTheWeight_IsServedTwiceAsOften()
    {
        using var scheduler = new ModelScheduler(_fixture.HookedModel) { MinTimeSlice = _uninterrupted };
        for (int i = 0; i < 6; i++) Add(scheduler, "light", Gradient(), owner: "light");
        for (int i = 0; i < 6; i++) Add(scheduler, "heavy", Gradient(), owner: "heavy", weight: 2);
        RunAll(scheduler);
        Assert.Equal((3, 6), (_ended.Take(9).Count(name => name == "light"), _ended.Take(9).Count(name => name == "heavy")));
    }

    [Fact]
    public void PromptsThatAreTooManyForOnePass_AreSharedOutAmongOwners()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModelOf(1024));
        using var scheduler = new ModelScheduler(fixture.HookedModel);
        int[] prompt = [.. Enumerable.Range(0, 400).Select(i => i % 40)];
        Program program = fixture.Record(prompt, _ => fixture.Model.Logits.Save("x"));
        for (int i = 0; i < 3; i++) Add(scheduler, $"flood {i}", program, fixture, "flood");
        Add(scheduler, "single", program, fixture, "single");
        RunAll(scheduler);
        Assert.InRange(_ended.IndexOf("single"), 0, 1);
    }

    [Fact]
    public void AGenerationWaits_UntilItsKeysAndValuesFit()
    {
        long oneRow = _fixture.HookedModel.CacheBytesPerToken * 64; // up to 64 tokens
        using var scheduler = new ModelScheduler(_fixture.HookedModel, maxCacheBytes: 3 * oneRow);
        JobRun[] jobs = [.. Enumerable.Range(0, 5).Select(i => Add(scheduler, $"{i}", Generation(4 + i)))];
        JobRun trace = Add(scheduler, "trace", _fixture.Record(_prompt, _ => _fixture.Model.Logits.Save("x")));
        scheduler.Step();
        Assert.Equal([2L, 2, 0, 0, 0, 1], [.. jobs.Select(job => job.ForwardPassCount), trace.ForwardPassCount]);
        RunAll(scheduler);
        Assert.Equal(["trace", "0", "1", "2", "3", "4"], _ended);
        Assert.All(jobs, job => Assert.Null(job.Error));
    }

    [Fact]
    public void AGenerationThatCouldNeverFit_FailsAlone()
    {
        using var scheduler = new ModelScheduler(_fixture.HookedModel, maxCacheBytes: 2 * 64 * _fixture.HookedModel.CacheBytesPerToken);
        JobRun fits = Add(scheduler, "fits", Generation(10));
        JobRun tooLarge = Add(scheduler, "too large",
            _fixture.RecordIn(_fixture.Model.Generate((int[][])[_prompt, _prompt], 10), t => t.Result.Save("ids")));
        RunAll(scheduler);
        Assert.Null(fits.Error);
        Assert.Equal(ErrorCode.OutOfMemory, tooLarge.Error!.Code);
        Assert.Contains("keys and values", tooLarge.Error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ATraceThatWaitsForMemory_CanBeCancelled()
    {
        using var cancel = new CancellationTokenSource();
        using var scheduler = new ModelScheduler(_fixture.HookedModel, maxCacheBytes: 2 * 64 * _fixture.HookedModel.CacheBytesPerToken);
        Add(scheduler, "first", Generation(10));
        JobRun waiting = Add(scheduler, "waiting", Generation(10), cancel: cancel);
        for (int step = 0; step < 3; step++) scheduler.Step();
        cancel.Cancel();
        scheduler.Step();
        scheduler.Step();
        Assert.Equal(["waiting"], _ended);
        Assert.Equal(ErrorCode.JobCancelled, waiting.Error!.Code);
        RunAll(scheduler);
    }

    /// <summary>A pass is long here because its program sleeps in it.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void WhileALongPassRuns_OthersGenerateAndShortPromptsRun(bool isGradient)
    {
        JobRun? trace = null;
        Action onPreemptionPoint = () => { };
        using var scheduler = new ModelScheduler(_fixture.HookedModel, onPreemptionPoint: () => onPreemptionPoint.Invoke());
        onPreemptionPoint = () => trace ??= Add(scheduler, "trace", _fixture.Record(_prompt, _ => _fixture.Model.Logits.Save("x")));
        JobRun generation = Add(scheduler, "generation", Generation(20));
        scheduler.Step();
        long before = generation.ForwardPassCount, during = 0;
        int[] prompt = [.. Enumerable.Range(0, 20)];
        Add(scheduler, "long", _fixture.RecordIn(_fixture.Model.Trace(prompt, grad: isGradient), t =>
        {
            Value[] hidden = [.. _fixture.Model.Layers.Select(layer =>
            {
                Value value = layer.Hidden;
                t.Log(value.Sum());
                return value;
            })];
            _fixture.Model.Logits.Save("x");
            if (isGradient) t.Backward(_fixture.Model.Logits.Sum(), () => hidden[0].Grad.Save("gradient"));
        }), onLog: () =>
        {
            Thread.Sleep(15);
            during = generation.ForwardPassCount;
        });
        RunAll(scheduler);
        Assert.True(_ended.IndexOf("trace") < _ended.IndexOf("long"), string.Join(", ", _ended));
        Assert.True(during > before);
        Assert.All(_jobs, job => Assert.Null(job.Error));
    }

    /// <summary>Also after other rows have joined the batch, and after rows have left it.</summary>
    [Fact]
    public void AStepOfManyRows_CanBePreempted()
    {
        int points = 0;
        using var scheduler = new ModelScheduler(_fixture.HookedModel, onPreemptionPoint: () => points++) { MinTimeSlice = TimeSpan.Zero };
        Add(scheduler, "short", Generation(4, rows: 40));
        scheduler.Step();
        Add(scheduler, "long", Generation(9, rows: 40));
        while (scheduler.JobCount > 0)
        {
            points = 0;
            scheduler.Step();
            Assert.True(points >= _fixture.Model.Layers.Count, $"{points} after {string.Join(", ", _ended)}");
        }
        Assert.Equal(["short", "long"], _ended);
    }

    [Fact]
    public void AnErrorInAPassThatPreempts_DoesNotReachTheLongOne()
    {
        JobRun? failing = null;
        Action onPreemptionPoint = () => { };
        using var scheduler = new ModelScheduler(_fixture.HookedModel, onPreemptionPoint: () => onPreemptionPoint.Invoke());
        onPreemptionPoint = () => failing ??= Add(scheduler, "failing",
            _fixture.Record(_prompt, _ => _fixture.Model.Layers[0].Hidden[.., 7].Save("x")));
        JobRun longTrace = Add(scheduler, "long", _fixture.Record((int[])[.. Enumerable.Range(0, 20)], t =>
        {
            foreach (var layer in _fixture.Model.Layers) t.Log(layer.Hidden.Sum());
            _fixture.Model.Logits.Save("x");
        }), onLog: () => Thread.Sleep(15));
        RunAll(scheduler);
        Assert.Equal(["failing", "long"], _ended);
        Assert.Equal(ErrorCode.IndexOutOfRange, failing!.Error!.Code);
        Assert.Null(longTrace.Error);
    }

    private JobRun Add(ModelScheduler scheduler, string name, Program program, EngineFixture? fixture = null, string owner = "",
        double weight = 1, Action? onLog = null, CancellationTokenSource? cancel = null)
    {
        var job = new JobRun(Compiler.Compile(program, (fixture ?? _fixture).HookedModel), new JobOutcome { OnLog = onLog },
            cancellationToken: cancel?.Token ?? TestContext.Current.CancellationToken)
        { Owner = owner, Weight = weight };
        _jobs.Add(job);
        scheduler.Add(job, () => _ended.Add(name));
        return job;
    }

    private static void RunAll(ModelScheduler scheduler)
    {
        while (scheduler.JobCount > 0) scheduler.Step();
    }

    private Program Generation(int steps, int rows = 1) => _fixture.RecordIn(
        _fixture.Model.Generate(Enumerable.Repeat(_prompt, rows).ToArray(), steps, new() { IgnoreEos = true }),
        t => t.Result.Save("ids"));

    private Program Gradient() => _fixture.RecordIn(_fixture.Model.Trace(_prompt, grad: true), t =>
    {
        Value hidden = _fixture.Model.Layers[0].Hidden;
        t.Backward(_fixture.Model.Logits.Sum(), () => hidden.Grad.Save("gradient"));
    });

    private static string TinyModelOf(int positions) => Ndif.Tests.Support.Models.TinyModel.Llama()
        .Replace("\"max_position_embeddings\": 64", $"\"max_position_embeddings\": {positions}", StringComparison.Ordinal);
}
