using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Running;

/// <summary>A slice of a batch keeps the batch: of its memory, the share of the job's rows counts, with their padding.</summary>
public sealed class BatchShareTests : IDisposable
{
    private const int Layers = 8, Tokens = 40, HiddenSize = 16;

    /// <summary>The bytes of a row with its padding, in all layers.</summary>
    private const long RowBytes = Layers * Tokens * HiddenSize * sizeof(float);

    private static readonly int[] _short = [1], _long = [.. Enumerable.Range(0, Tokens).Select(i => 1 + i % 30)];

    private readonly EngineFixture _fixture = EngineFixture.GPT2(layers: Layers);

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    [Fact]
    public void APromptBesideALongOneOfTheSameJob_CountsWithItsPadding_AndTheLongOne()
    {
        long held = HeldBytes(_fixture.RecordIn(Model.Trace(), t =>
        {
            ValueList list = t.List();
            using (t.Invoke(_short)) Collect(t, list);
            using (t.Invoke(_long)) { }
        }));
        Assert.InRange(held, 2 * RowBytes, 3 * RowBytes);
    }

    [Fact]
    public void EveryLayerCountsOnce_WhoeverReadsIt()
    {
        long held = HeldBytes(_fixture.RecordIn(Model.Trace(), t =>
        {
            ValueList list = t.List();
            using (t.Invoke(_long)) Collect(t, list);
            using (t.Invoke(_short)) Collect(t, list);
        }));
        Assert.InRange(held, 2 * RowBytes, 3 * RowBytes);
    }

    [Fact]
    public void TheRowsOfOthers_DoNotCount()
    {
        Program collect = _fixture.Record(_short, t => Collect(t, t.List()));
        Assert.InRange(HeldBytes(collect, _fixture.Record(new[] { _long, _long, _long }, _ => { })), RowBytes, 2 * RowBytes);
        Assert.InRange(HeldBytes(collect), 0, RowBytes);
    }

    private void Collect(Trace t, ValueList list)
    {
        foreach (var layer in Model.Layers) list.Append(layer.Mlp.Output);
        t.Log("collected");
        list.Append(1); // the list lives until here
    }

    /// <summary>The most bytes that the first job holds at one of its log lines.</summary>
    private long HeldBytes(Program program, params Program[] others)
    {
        long held = 0;
        JobRun? run = null;
        var outcome = new JobOutcome { OnLog = () => held = Math.Max(held, run!.Slots.HeldBytes) };
        using JobRun first = run = new JobRun(Compiler.Compile(program, _fixture.HookedModel), outcome, maxValueBytes: 1 << 30);
        JobRun[] jobs = [first, .. others.Select(other => new JobRun(Compiler.Compile(other, _fixture.HookedModel), new JobOutcome()))];
        ProgramEngine.Run(_fixture.HookedModel, jobs);
        foreach (JobRun job in jobs)
        {
            Assert.Null(job.Error);
            job.Dispose();
        }
        Assert.Equal(0, first.Slots.HeldBytes);
        return held;
    }
}
