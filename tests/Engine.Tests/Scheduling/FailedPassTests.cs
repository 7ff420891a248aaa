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
        using var scheduler = new ModelScheduler(Fixture.HookedModel);
        using var never = new CancellationTokenSource();
        var time = new ExecutionTimer(TimeSpan.FromMinutes(10), never);
        JobRun generation = Add(scheduler, "generation", Generation(Steps), time: time);
        while (generation.ForwardPassCount < Steps / 2) scheduler.Step();
        TimeSpan before = time.Used;
        JobRun bad = Add(scheduler, "bad", Bad());
        while (generation.ForwardPassCount >= Steps / 2 && scheduler.JobCount > 0) scheduler.Step();
        Assert.InRange(generation.ForwardPassCount, 0, Steps / 2 - 1);
        Assert.InRange(time.Used, TimeSpan.Zero, before / 2);
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Null(generation.Error);
        Assert.Equal(ErrorCode.OpFailed, bad.Error!.Code);
    }

    [Fact]
    public void AnOwnerWhoseJobFailsAPass_SharesNoneForAWhile()
    {
        using var scheduler = new ModelScheduler(Fixture.HookedModel) { MaxStatementTime = TimeSpan.FromMilliseconds(5) };
        Assert.Equal([1, 0, 0], [CountRestarts(), CountRestarts(), CountRestarts()]);

        int CountRestarts()
        {
            using var never = new CancellationTokenSource();
            JobRun generation = Add(scheduler, "generation", Generation(Steps), time: new(TimeSpan.FromMinutes(10), never));
            (long last, int restarts, bool isAdded) = (0, 0, false);
            while (scheduler.JobCount > 0)
            {
                scheduler.Step();
                if (generation.ForwardPassCount < last) restarts++;
                last = generation.ForwardPassCount;
                if (isAdded || last < Steps / 2) continue;
                isAdded = true;
                Add(scheduler, "bad", Bad(), owner: "eve");
            }
            Assert.Null(generation.Error);
            return restarts;
        }
    }

    /// <summary>A generation that fails in the model at its third step.</summary>
    private Program Bad() => Fixture.RecordIn(Model.Generate(Prompt, 6, new() { IgnoreEos = true }), t =>
    {
        foreach (int step in t.Iter[2]) Model.Embed.Input = Model.Embed.Input + 4_000;
    });
}
