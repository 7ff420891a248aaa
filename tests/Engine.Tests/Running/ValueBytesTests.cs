using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Running;

/// <summary>
/// The limit of the bytes that a program's values may have at a time. A job that exceeds it fails with OUT_OF_MEMORY; other jobs do not.
/// </summary>
public sealed class ValueBytesTests : IDisposable
{
    private const long Most = 8 << 20;
    private static readonly int[][] _rows =
        [.. Enumerable.Range(0, 40).Select(row => Enumerable.Range(0, 40).Select(at => 1 + (row + at) % 30).ToArray())];

    /// <summary>One long row, and many short ones, which are as long with their padding.</summary>
    private static readonly int[][] _manyRows = [_rows[0], .. Enumerable.Repeat(new[] { 1 }, 400)];

    private static readonly int[] _prompt = [3, 1, 4];

    private readonly EngineFixture _fixture = EngineFixture.GPT2(layers: 8);

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    [Theory]
    [InlineData("values")]
    [InlineData("a list")]
    [InlineData("a cache")]
    [InlineData("a pass")]
    [InlineData("options of a generation")]
    [InlineData("options of its invokes")]
    public void WhoHoldsTooMuch_RunsOutOfMemory_AndTheOtherOfThePassDoesNot(string what)
    {
        (IReadOnlyList<int>, double)[] biases =
            [.. Enumerable.Range(0, 1000).Select(i => ((IReadOnlyList<int>)[1 + i % 9, 1 + i / 9 % 9, 1 + i / 81], 1.0))];
        bool isOfInvokes = what is "options of its invokes";
        // each invoke has its own copy
        Program greedy = isOfInvokes || what is "options of a generation"
            ? _fixture.RecordIn(Model.Generate(null, 5, new() { SequenceBias = isOfInvokes ? null : biases }), t =>
        {
            for (int seed = 0; seed < 100; seed++)
                using (t.Invoke(_prompt, new GenerationOptions { Seed = seed, SequenceBias = isOfInvokes ? biases : null })) { }
        }) : _fixture.Record(what is "a pass" ? _manyRows : _rows, t =>
        {
            switch (what)
            {
                case "a pass": break;
                case "values": // 4 MiB each
                    Value[] all = [.. Enumerable.Range(0, 4).Select(_ => Op.Ones(new long[] { 1024, 1024 }))];
                    (all[0] + all[1] + all[2] + all[3]).Sum().Save("sum");
                    break;
                case "a list":
                    ValueList list = t.List();
                    for (int i = 0; i < 8; i++) list.Append(Op.Ones(new long[] { 1024, 1024 }));
                    break;
                default: t.Cache(); break; // 100 KiB for each of a hundred modules
            }
            Model.Logits[0, ^1].Save("after");
        });
        Program modest = _fixture.Record(_prompt, _ => Model.Logits.Save("logits"));
        (Error? error, JobOutcome bad, JobOutcome good) = Run(greedy, modest);
        Assert.Equal(ErrorCode.OutOfMemory, error?.Code);
        Assert.Contains("8,388,608", error!.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("after", bad.Names);
        TensorAssert.Equal(_fixture.Run(modest)[0].Tensor("logits"), good.Tensor("logits"), 1e-5);
    }

    [Fact]
    public void WhatWasUsedForTheLastTime_AndWhatOnlySeemsLarge_DoesNotCount()
    {
        Program many = _fixture.Record(_prompt, _ =>
        {
            Value sum = Op.Ones(new long[] { 512, 512 });
            for (int i = 0; i < 20; i++) sum = sum * 1.5;
            sum[0, 0].Save("sum");
            Op.Ones(new long[] { 1, 1 }).Expand(new long[] { 4096, 4096 })[0, 0].Save("one"); // 64 MiB by its shape, 4 bytes by its memory
            Model.Logits.Save("logits");
        });
        (Error? error, JobOutcome outcome, _) = Run(many, many);
        Assert.Null(error);
        Assert.Equal(1f, outcome.Tensor("one").ToArray<float>()[0]);
    }

    private (Error? Error, JobOutcome First, JobOutcome Second) Run(Program first, Program second)
    {
        var (one, two) = (new JobOutcome(), new JobOutcome());
        using var a = new JobRun(Compiler.Compile(first, _fixture.HookedModel), one, maxValueBytes: Most);
        using var b = new JobRun(Compiler.Compile(second, _fixture.HookedModel), two, maxValueBytes: Most);
        ProgramEngine.Run(_fixture.HookedModel, [a, b]);
        Assert.Null(b.Error);
        return (a.Error, one, two);
    }
}
