using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Running;

/// <summary>A program's values may have so many bytes at a time: more is its own OUT_OF_MEMORY.</summary>
public sealed class ValueBytesTests : IDisposable
{
    private const long Most = 3 << 20;
    private static readonly int[][] s_rows = [.. Enumerable.Range(0, 40).Select(row => Enumerable.Range(0, 40).Select(at => 1 + (row + at) % 30).ToArray())];

    private static readonly int[] s_prompt = [3, 1, 4];

    private readonly Rig _rig = Rig.GPT2(layers: 8);

    public void Dispose() => _rig.Dispose();

    private LanguageModel Model => _rig.Model;

    [Theory]
    [InlineData("values")]
    [InlineData("a list")]
    [InlineData("a cache")]
    public void WhoHoldsTooMuch_RunsOutOfMemory_AndTheOtherOfThePassDoesNot(string what)
    {
        Program greedy = _rig.Record(s_rows, t =>
        {
            switch (what)
            {
                case "values": // 1 MiB each
                    Value[] all = [.. Enumerable.Range(0, 4).Select(_ => Op.Ones(new long[] { 512, 512 }))];
                    (all[0] + all[1] + all[2] + all[3]).Sum().Save("sum");
                    break;
                case "a list":
                    ValueList list = t.List();
                    for (int i = 0; i < 8; i++) list.Append(Op.Ones(new long[] { 512, 512 }));
                    break;
                default: t.Cache(); break; // 100 KiB for each of a hundred modules
            }
            Model.Logits[0, ^1].Save("after");
        });
        Program modest = _rig.Record(s_prompt, _ => Model.Logits.Save("logits"));
        (Error? error, Outcome bad, Outcome good) = Run(greedy, modest);
        Assert.Equal(ErrorCode.OutOfMemory, error?.Code);
        Assert.Contains("3,145,728", error!.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("after", bad.Names);
        Near.Equal(_rig.Run(modest)[0].Tensor("logits"), good.Tensor("logits"), 1e-5);
    }

    [Fact]
    public void WhatWasUsedForTheLastTime_AndWhatOnlySeemsLarge_DoesNotCount()
    {
        Program many = _rig.Record(s_prompt, _ =>
        {
            Value sum = Op.Ones(new long[] { 512, 512 });
            for (int i = 0; i < 20; i++) sum = sum * 1.5;
            sum[0, 0].Save("sum");
            Op.Ones(new long[] { 1, 1 }).Expand(new long[] { 4096, 4096 })[0, 0].Save("one"); // 64 MiB by its shape, 4 bytes by its memory
            Model.Logits.Save("logits");
        });
        (Error? error, Outcome outcome, _) = Run(many, many);
        Assert.Null(error);
        Assert.Equal(1f, outcome.Tensor("one").ToArray<float>()[0]);
    }

    private (Error? Error, Outcome First, Outcome Second) Run(Program first, Program second)
    {
        var (one, two) = (new Outcome(), new Outcome());
        using var a = new JobRun(Compiler.Compile(first, _rig.Subject), one, valueBytes: Most);
        using var b = new JobRun(Compiler.Compile(second, _rig.Subject), two, valueBytes: Most);
        ProgramEngine.Run(_rig.Subject, [a, b]);
        Assert.Null(b.Error);
        return (a.Error, one, two);
    }
}
