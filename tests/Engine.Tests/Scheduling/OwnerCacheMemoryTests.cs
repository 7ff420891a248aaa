using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Scheduling;

/// <summary>The memory for keys and values, of which no owner may have all. It is for eight rows of up to 64 tokens.</summary>
public sealed class OwnerCacheMemoryTests : IDisposable
{
    private const int Long = 50, Short = 5; // steps

    private static readonly int[] _prompt = [1, 2, 3];

    private readonly EngineFixture _fixture = EngineFixture.Llama();
    private readonly ModelScheduler _scheduler;
    private readonly List<JobRun> _jobs = [];
    private readonly List<JobRun> _ended = [];

    public OwnerCacheMemoryTests() => _scheduler = new ModelScheduler(
        _fixture.HookedModel, maxCacheBytes: 8 * 64 * _fixture.HookedModel.CacheBytesPerToken) { MinTimeSlice = TimeSpan.FromHours(1) };

    public void Dispose()
    {
        foreach (JobRun job in _jobs) job.Dispose();
        _scheduler.Dispose();
        _fixture.Dispose();
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(6, false)]
    [InlineData(1, true)]
    public void TheGenerationsOfOneOwner_LeaveMemoryForThatOfAnother(int rows, bool isExclusive)
    {
        JobRun[] eves = [.. Enumerable.Range(0, 12 / rows).Select(i => Add("eve", Long, rows, isExclusive))];
        for (int step = 0; step < 10; step++) _scheduler.Step();
        Assert.Equal(6, rows * eves.Count(HasStarted));
        JobRun ana = Add("ana", Short, rows: 2);
        RunUntilEnded(ana);
        Assert.Equal(6, rows * eves.Count(job => HasStarted(job) && !_ended.Contains(job)));
        RunAll();
    }

    [Fact]
    public void AGenerationThatNeedsMore_WaitsOnlyForThoseThatRun()
    {
        JobRun[] eves = [.. Enumerable.Range(0, 30).Select(i => Add("eve", i < 6 ? Long : Long - i))];
        for (int step = 0; step < 3; step++) _scheduler.Step();
        JobRun ana = Add("ana", Short, rows: 5);
        RunUntilEnded(ana);
        Assert.InRange(eves.Count(HasStarted), 6, 9); // three run beside it
        RunAll();
    }

    [Fact]
    public void WhileALargeGenerationWaits_OtherOwnersHaveTheirShares()
    {
        JobRun[] eves = [.. Enumerable.Range(0, 12).Select(i => Add("eve", Long))];
        for (int step = 0; step < 3; step++) _scheduler.Step();
        JobRun ana = Add("ana", Short, rows: 5);
        _scheduler.Step();
        JobRun bob = Add("bob", Short), bobsNext = Add("bob", Short);
        RunUntilEnded(bob);
        Assert.False(HasStarted(ana) || HasStarted(bobsNext));
        Assert.Equal(6, eves.Count(HasStarted));
        RunUntilEnded(ana);
        RunAll();
    }

    [Fact]
    public void AnOwnerWithManyGenerations_GetsAllButAPartOfTheMemory_AndTwoHaveTheSame()
    {
        JobRun[] eves = [.. Enumerable.Range(0, 20).Select(i => Add("eve", Long - i))],
            anas = [.. Enumerable.Range(0, 20).Select(i => Add("ana", Long - i))];
        _scheduler.Step();
        Assert.Equal((3, 3), (eves.Count(HasStarted), anas.Count(HasStarted)));
        RunAll();
    }

    private static bool HasStarted(JobRun job) => job.ForwardPassCount > 0;

    private JobRun Add(string owner, int steps, int rows = 1, bool isExclusive = false)
    {
        Program program = _fixture.RecordIn(
            _fixture.Model.Generate(Enumerable.Repeat(_prompt, rows).ToArray(), steps, new() { IgnoreEos = true }), t =>
            {
                if (isExclusive) t.If(_fixture.Model.Logits.Sum() > 1e30, () => t.Local(x => x, _fixture.Model.Logits));
                t.Result.Save("ids");
            });
        var job = new JobRun(Compiler.Compile(program, _fixture.HookedModel), new JobOutcome(),
            cancellationToken: TestContext.Current.CancellationToken) { Owner = owner };
        _jobs.Add(job);
        _scheduler.Add(job, () => _ended.Add(job));
        return job;
    }

    private void RunUntilEnded(JobRun job)
    {
        while (!_ended.Contains(job) && _scheduler.JobCount > 0) _scheduler.Step();
        Assert.Null(job.Error);
    }

    private void RunAll()
    {
        while (_scheduler.JobCount > 0) _scheduler.Step();
        Assert.All(_jobs, job => Assert.Null(job.Error));
    }
}
