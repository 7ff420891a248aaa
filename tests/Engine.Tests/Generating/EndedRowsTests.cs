using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Generating;

/// <summary>An invoke whose rows have ended while other rows of its trace continue: it has what it has alone.</summary>
public sealed class EndedRowsTests : IDisposable
{
    private static readonly int[] _short = [3, 1, 4], _long = [9, 2, 6, 5, 3];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    /// <summary>Runs invokes with numbers of new tokens of their own in one trace. Each saves the logits of its steps.</summary>
    private JobOutcome Run(params (string Name, int[] Prompt, int NewTokens)[] invokes)
    {
        using Trace t = Model.Generate(null, maxNewTokens: 8);
        foreach (var (name, prompt, newTokens) in invokes)
        {
            using (t.Invoke(prompt, new GenerationOptions { MaxNewTokens = newTokens }))
            {
                ValueList logits = t.List();
                t.Iter.Each(_ => logits.Append(Model.Logits[.., ^1]));
                logits.Save($"{name}.logits");
                t.Result.Save($"{name}.ids");
            }
        }
        return _fixture.Run(t.ToProgram())[0].AssertCompleted();
    }

    [Theory, InlineData(2), InlineData(3), InlineData(7)]
    public void AnInvoke_HasWhatItHasAlone(int newTokens)
    {
        JobOutcome alone = Run(("a", _short, newTokens)), together = Run(("a", _short, newTokens), ("b", _long, 8));
        Assert.Equal([1, _short.Length + newTokens], together.Tensor("a.ids").Shape.ToArray());
        TensorAssert.Equal(alone.Tensor("a.ids"), together.Tensor("a.ids"));
        Assert.Equal(newTokens, together.Tensors("a.logits").Length);
        Assert.Equal(8, together.Tensors("b.logits").Length);
        foreach (var (expected, actual) in alone.Tensors("a.logits").Zip(together.Tensors("a.logits")))
            TensorAssert.Equal(expected, actual);
        Assert.Empty(together.Warnings);
    }

    [Fact]
    public void AnInvoke_ThatEndsByAnEosToken_EndsThere()
    {
        long[] ids = Run(("a", _short, 8)).Tensor("a.ids").ToArray<long>();
        long[] generated = ids[_short.Length..];
        long eos = generated[2];
        int steps = Array.IndexOf(generated, eos) + 1;
        using Trace t = Model.Generate(null, 8);
        using (t.Invoke(_short, new GenerationOptions { EosTokenIds = [(int)eos] })) t.Result.Save("short");
        using (t.Invoke(_long, new GenerationOptions { IgnoreEos = true })) t.Result.Save("long");
        t.Result.Save("all");
        JobOutcome run = _fixture.Run(t.ToProgram())[0].AssertCompleted();
        Assert.Equal([1, _short.Length + steps], run.Tensor("short").Shape.ToArray());
        Assert.Equal([1, _long.Length + 8], run.Tensor("long").Shape.ToArray());
        Assert.Equal([2, _long.Length + 8], run.Tensor("all").Shape.ToArray());
    }

    [Fact]
    public void AnIteration_BeyondTheEnd_WarnsAsItDoesAlone()
    {
        JobOutcome Iterate(bool isAlone)
        {
            using Trace t = Model.Generate(null, 8);
            using (t.Invoke(_short, new GenerationOptions { MaxNewTokens = 2 }))
                foreach (int step in t.Iter[..5]) Model.Logits.Save($"step{step}");
            if (!isAlone)
                using (t.Invoke(_long)) t.Result.Save("long");
            return _fixture.Run(t.ToProgram())[0].AssertCompleted();
        }
        JobOutcome alone = Iterate(isAlone: true), together = Iterate(isAlone: false);
        Assert.Equal(["step0", "step1"], together.Names.Where(name => name != "long").Order());
        Assert.Equal(alone.Warnings, together.Warnings);
    }
}
