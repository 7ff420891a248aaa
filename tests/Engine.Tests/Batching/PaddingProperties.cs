using CsCheck;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Batching;

/// <summary>Random models and random prompts of different lengths: a row in a batch gives the values that it gives alone.</summary>
public sealed class PaddingProperties
{
    private static readonly int[] _three = [5, 6, 7];
    private static readonly Gen<int[]> _prompt = Gen.Int[0, 39].Array[1, 9];

    /// <summary>Architecture, seed of the weights, heads, layers, prompts.</summary>
    private static readonly Gen<(bool Llama, int Seed, int Layers, int[][] Prompts)> _case =
        Gen.Select(Gen.Bool, Gen.Int[1, 1000], Gen.Int[1, 2], _prompt.Array[2, 4]);

    private static EngineFixture New(bool llama, int seed, int layers) =>
        llama ? EngineFixture.Llama(seed, heads: 4, kvHeads: seed % 2 == 0 ? 1 : 2, layers)
        : EngineFixture.GPT2(seed, heads: seed % 2 == 0 ? 4 : 2, layers);

    [Fact]
    public void InvokesOfOneTrace_GiveWhatEachGivesAlone() => _case.Sample(c =>
    {
        using EngineFixture fixture = New(c.Llama, c.Seed, c.Layers);
        Program together = fixture.Record(null, t =>
        {
            for (int i = 0; i < c.Prompts.Length; i++)
                using (t.Invoke(c.Prompts[i])) Saves(fixture.Model, $"{i}");
        });
        JobOutcome all = fixture.Run(together)[0].AssertCompleted();
        for (int i = 0; i < c.Prompts.Length; i++)
        {
            JobOutcome alone = fixture.Run(c.Prompts[i], _ => Saves(fixture.Model, $"{i}")).AssertCompleted();
            foreach (string name in alone.Names) TensorAssert.Equal(alone.Tensor(name), all.Tensor(name));
            Assert.Equal(TensorAssert.ArgMax(alone.Tensor($"logits{i}")), TensorAssert.ArgMax(all.Tensor($"logits{i}")));
        }
    }, iter: 12, seed: "0N0XIzNsQ0O2", threads: 1);

    [Fact]
    public void AListOfPrompts_GivesInEachRow_WhatThePromptGivesAlone() => _case.Sample(c =>
    {
        using EngineFixture fixture = New(c.Llama, c.Seed, c.Layers);
        JobOutcome all = fixture.Run(c.Prompts, _ => Saves(fixture.Model, "")).AssertCompleted();
        TensorData logits = all.Tensor("logits");
        int width = c.Prompts.Max(p => p.Length);
        Assert.Equal([c.Prompts.Length, width, 40], logits.Shape.ToArray());
        for (int i = 0; i < c.Prompts.Length; i++)
        {
            JobOutcome alone = fixture.Run(c.Prompts[i], _ => Saves(fixture.Model, "")).AssertCompleted();
            foreach (string name in (string[])["logits", "hidden", "embedded"])
                TensorAssert.Equal(alone.Tensor(name)[0], all.Tensor(name)[i][(width - c.Prompts[i].Length)..]);
        }
    }, iter: 8, seed: "0N0XIzNsQ0O2", threads: 1);

    [Fact]
    public void GenerationsTogether_GiveTheTokensOfEachAlone() => _case.Sample(c =>
    {
        using EngineFixture fixture = New(c.Llama, c.Seed, c.Layers);
        Program together = fixture.Record(null, 5, t =>
        {
            for (int i = 0; i < c.Prompts.Length; i++)
                using (t.Invoke(c.Prompts[i])) Steps(fixture.Model, t, $"{i}");
        });
        JobOutcome all = fixture.Run(together)[0].AssertCompleted();
        for (int i = 0; i < c.Prompts.Length; i++)
        {
            JobOutcome alone = fixture.Run(c.Prompts[i], 5, t => Steps(fixture.Model, t, $"{i}")).AssertCompleted();
            // another row may be longer; the tokens after the end of a row are padding
            long[] ids = alone.Tensor($"ids{i}").ToArray<long>();
            Assert.Equal(ids, all.Tensor($"ids{i}").ToArray<long>()[..ids.Length]);
            TensorData[] expected = alone.Tensors($"steps{i}"), actual = all.Tensors($"steps{i}");
            for (int step = 0; step < expected.Length; step++) TensorAssert.Equal(expected[step], actual[step]);
        }
    }, iter: 8, seed: "0N0XIzNsQ0O2", threads: 1);

    [Fact]
    public void PaddingThatTheUserBrings_ChangesNothingForItsTokens()
    {
        using EngineFixture fixture = EngineFixture.Llama();
        JobOutcome alone = fixture.Run(_three, _ => fixture.Model.Logits.Save("logits")).AssertCompleted();
        TokenInput padded = new(TensorData.FromArray([0L, 0, 5, 6, 7], 1, 5), TensorData.FromArray([0L, 0, 1, 1, 1], 1, 5));
        JobOutcome outcome = fixture.Run(padded, _ => fixture.Model.Logits.Save("logits")).AssertCompleted();
        TensorAssert.Equal(alone.Tensor("logits"), outcome.Tensor("logits")[.., 2..]);
    }

    private static void Saves(LanguageModel model, string at)
    {
        model.Embed.Output.Save($"embedded{at}");
        model.Layers[^1].Input.Save($"input{at}");
        model.Layers[^1].Attn.Output[1].Save($"probabilities{at}");
        model.Layers[^1].Hidden.Save($"hidden{at}");
        model.Logits.Save($"logits{at}");
    }

    private static void Steps(LanguageModel model, Trace t, string at)
    {
        ValueList steps = t.List();
        steps.Save($"steps{at}");
        foreach (int step in t.Iter[..])
        {
            steps.Append(model.Layers[0].Attn.Output[1]);
            if (step == 1) model.Layers[0].Hidden[.., ^1, 3] = 1.5;
            steps.Append(model.Logits);
        }
        t.Result.Save($"ids{at}");
    }
}
