using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Support;

/// <summary>Tests of what jobs that run on one tiny model at the same time do to each other.</summary>
public abstract class SchedulingTests : IDisposable
{
    internal static readonly int[] Prompt = [1, 2, 3];

    internal EngineFixture Fixture { get; } = EngineFixture.Llama();

    internal LanguageModel Model => Fixture.Model;

    /// <summary>All jobs, in the order in which they were added.</summary>
    internal List<JobRun> Jobs { get; } = [];

    /// <summary>The names of the jobs that have ended.</summary>
    internal List<string> Ended { get; } = [];

    public void Dispose()
    {
        foreach (JobRun job in Jobs) job.Dispose();
        Fixture.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <param name="owner">The name of the job by default.</param>
    internal JobRun Add(ModelScheduler scheduler, string name, Program program, string? owner = null, CancellationToken? cancel = null,
        ExecutionTimer? time = null, JobOutcome? outcome = null, Action? onLog = null, Action? onEnded = null,
        Func<uint, TensorData>? loadConstant = null)
    {
        outcome ??= new JobOutcome { OnLog = onLog };
        var job = outcome.Run = new JobRun(Compiler.Compile(program, Fixture.HookedModel), outcome, loadConstant,
            cancellationToken: cancel ?? TestContext.Current.CancellationToken) { Owner = owner ?? name, ExecutionTimer = time };
        Jobs.Add(job);
        scheduler.Add(job, () =>
        {
            Ended.Add(name);
            onEnded?.Invoke();
        });
        return job;
    }

    internal Program Generation(int steps) =>
        Fixture.RecordIn(Model.Generate(Prompt, steps, new() { IgnoreEos = true }), t => t.Result.Save("ids"));

    /// <summary>A generation that fails in the model at its third step.</summary>
    internal Program BadGeneration() => Fixture.RecordIn(Model.Generate(Prompt, 6, new() { IgnoreEos = true }), t =>
    {
        foreach (int step in t.Iter[2]) Model.Embed.Input = Model.Embed.Input + 4_000;
    });

    /// <summary>A generation whose third step makes the pass fail, and then fails in a statement.</summary>
    internal Program WritesAndFails(bool isInPlace) => Fixture.RecordIn(Model.Generate(Prompt, 6, new() { IgnoreEos = true }), t =>
    {
        foreach (int step in t.Iter[2])
        {
            if (isInPlace) Model.Embed.Input[..] = 4_000;
            else Model.Embed.Input = Model.Embed.Input + 4_000;
            Model.Embed.Input[.., 7].Save("x"); // [batch, 1] in this step
        }
    });

    /// <summary>Adds a generation of 60 tokens that fails in the model where it shares its third, 20th and 40th step.</summary>
    internal JobRun AddFailingWhereShared(ModelScheduler scheduler, string name)
    {
        using var never = new CancellationTokenSource();
        var time = new ExecutionTimer(TimeSpan.FromMinutes(10), never);
        Program program = Fixture.RecordIn(Model.Generate(Prompt, 60, new() { IgnoreEos = true }), t =>
        {
            foreach (int at in (int[])[2, 20, 40])
                foreach (int step in t.Iter[at]) Model.Embed.Input = Model.Embed.Input + TensorData.FromArray(new long[] { at });
        });
        return Add(scheduler, name, program, time: time, loadConstant: _ =>
        {
            int sharers = time.Suspend();
            time.Start(sharers);
            return TensorData.FromArray(new long[] { sharers > 1 ? 4_000 : 0 });
        });
    }

    internal Program Gradient() => Fixture.RecordIn(Model.Trace(Prompt, grad: true), t =>
    {
        Value weight = Model.LmHead.Parameter("weight").RequiresGrad(), hidden = Model.Layers[0].Hidden;
        t.Backward(Model.Logits.Sum(), () => hidden.Grad.Save("gradient"));
        weight.Grad.Save("weight");
    });
}
