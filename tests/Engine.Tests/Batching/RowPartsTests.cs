using Ndif.Engine.Batching;
using Ndif.Engine.Compiling;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using Ndif.Engine.Tests.Support;
using Ndif.Models.Files;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Tests.Batching;

/// <summary>What is computed for many rows before and after a pass: between two of them others run, and a cancelled job ends.</summary>
public sealed class RowPartsTests
{
    private static readonly int[] _prompt = [3, 1, 4];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void TextsOfAnInput_CanBeCancelledBetweenTwo(bool areComputed)
    {
        using EngineFixture fixture = EngineFixture.Open(ModelStore.Find("ndif/tiny-landmarks").Path);
        using var cancel = new CancellationTokenSource();
        using JobRun job = NewJob(fixture, fixture.Record("Big Ben", _ => fixture.Model.Logits.Save("logits")), cancel.Token);
        int parts = 0;
        job.OnOperationPart = () =>
        {
            if (++parts == 3) cancel.Cancel();
        };
        object?[] texts = ["one", "two", "three", "four", "five"];
        var input = new Input();
        if (!areComputed) input.Prompts.AddRange(texts.Cast<string>());
        var invoke = new InvokeInput(input, 0, null, areComputed ? new LiteralOperand(texts) : null, null, null, null, []);
        Assert.Throws<OperationCanceledException>(() => new InputRowReader(job, fixture.HookedModel).ReadRows(invoke, 0));
        Assert.Equal(3, parts);
    }

    [Fact]
    public void TokensOfRows_AreSelectedInParts_AndCanBeCancelled()
    {
        const int RowCount = 8;
        using EngineFixture fixture = EngineFixture.GPT2();
        using var cancel = new CancellationTokenSource();
        var options = new GenerationOptions { DoSample = true, NumReturnSequences = RowCount, BadWordsIds = [[2], [1, 4]] };
        Program program = fixture.RecordIn(fixture.Model.Generate(_prompt, 4, options), t => t.Result.Save("ids"));
        using JobRun job = NewJob(fixture, program, cancel.Token);
        using var trace = new TraceRun(job, job.Plan.Statements.OfType<TraceStatement>().Single());
        var rows = new TraceRows(trace, fixture.HookedModel);
        using torch.Tensor logits = torch.rand(RowCount, 1, fixture.HookedModel.Description.Vocabulary);
        int parts = 0;
        rows.SelectTokens(logits, () => parts++);
        Assert.InRange(parts, RowCount, 2 * RowCount);
        parts = 0;
        Assert.Throws<OperationCanceledException>(() => rows.SelectTokens(logits, () =>
        {
            if (++parts == 3) cancel.Cancel();
        }));
        Assert.Equal(3, parts);
    }

    [Fact]
    public void OptionsOfAGeneration_AreReadInParts()
    {
        using EngineFixture fixture = EngineFixture.GPT2();
        IReadOnlyList<int>[] words = [.. Enumerable.Range(0, 1_000).Select(i => (int[])[i % 30, .. Enumerable.Repeat(7, 20), i / 30])];
        Program program = fixture.RecordIn(fixture.Model.Generate(null, 4, new() { BadWordsIds = words }), t =>
        {
            for (int seed = 0; seed < 3; seed++)
                using (t.Invoke(_prompt, new GenerationOptions { Seed = seed })) { }
        });
        using var cancel = new CancellationTokenSource();
        using JobRun job = NewJob(fixture, program, cancel.Token);
        using var trace = new TraceRun(job, job.Plan.Statements.OfType<TraceStatement>().Single());
        int parts = 0;
        job.OnOperationPart = () => parts++;
        _ = new TraceRows(trace, fixture.HookedModel);
        int whole = parts;
        parts = 0;
        job.OnOperationPart = () =>
        {
            if (++parts == whole / 2) cancel.Cancel();
        };
        using var again = new TraceRun(job, trace.Statement);
        Assert.Throws<OperationCanceledException>(() => new TraceRows(again, fixture.HookedModel));
        Assert.Equal(whole / 2, parts);
    }

    private static JobRun NewJob(EngineFixture fixture, Program program, CancellationToken cancellation) =>
        new(Compiler.Compile(program, fixture.HookedModel), new JobOutcome(), cancellationToken: cancellation);
}
