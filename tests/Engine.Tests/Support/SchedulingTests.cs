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
        ExecutionTimer? time = null, JobOutcome? outcome = null, Action? onLog = null, Action? onEnded = null)
    {
        outcome ??= new JobOutcome { OnLog = onLog };
        var job = outcome.Run = new JobRun(Compiler.Compile(program, Fixture.HookedModel), outcome,
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

    internal Program Gradient() => Fixture.RecordIn(Model.Trace(Prompt, grad: true), t =>
    {
        Value weight = Model.LmHead.Parameter("weight").RequiresGrad(), hidden = Model.Layers[0].Hidden;
        t.Backward(Model.Logits.Sum(), () => hidden.Grad.Save("gradient"));
        weight.Grad.Save("weight");
    });
}
