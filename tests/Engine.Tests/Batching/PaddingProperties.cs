using CsCheck;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Batching;

/// <summary>Random models, random prompts of unequal length: a row in a batch is the row alone.</summary>
public sealed class PaddingProperties
{
    private static readonly int[] s_three = [5, 6, 7];
    private static readonly Gen<int[]> s_prompt = Gen.Int[0, 39].Array[1, 9];

    /// <summary>Family, seed of the weights, heads, layers, prompts.</summary>
    private static readonly Gen<(bool Llama, int Seed, int Layers, int[][] Prompts)> s_case =
        Gen.Select(Gen.Bool, Gen.Int[1, 1000], Gen.Int[1, 2], s_prompt.Array[2, 4]);

    private static Rig New(bool llama, int seed, int layers) =>
        llama ? Rig.Llama(seed, heads: 4, groups: seed % 2 == 0 ? 1 : 2, layers) : Rig.GPT2(seed, heads: seed % 2 == 0 ? 4 : 2, layers);

    [Fact]
    public void InvokesOfOneTrace_GiveWhatEachGivesAlone() => s_case.Sample(c =>
    {
        using Rig rig = New(c.Llama, c.Seed, c.Layers);
        Program together = rig.Record(null, t =>
        {
            for (int i = 0; i < c.Prompts.Length; i++)
                using (t.Invoke(c.Prompts[i])) Saves(rig.Model, $"{i}");
        });
        Outcome all = rig.Run(together)[0].Good();
        for (int i = 0; i < c.Prompts.Length; i++)
        {
            Outcome alone = rig.Run(c.Prompts[i], _ => Saves(rig.Model, $"{i}")).Good();
            foreach (string name in alone.Names) Near.Equal(alone.Tensor(name), all.Tensor(name));
            Assert.Equal(Near.Top(alone.Tensor($"logits{i}")), Near.Top(all.Tensor($"logits{i}")));
        }
    }, iter: 12, seed: "0N0XIzNsQ0O2", threads: 1);

    [Fact]
    public void AListOfPrompts_GivesInEachRow_WhatThePromptGivesAlone() => s_case.Sample(c =>
    {
        using Rig rig = New(c.Llama, c.Seed, c.Layers);
        Outcome all = rig.Run(c.Prompts, _ => Saves(rig.Model, "")).Good();
        TensorData logits = all.Tensor("logits");
        int width = c.Prompts.Max(p => p.Length);
        Assert.Equal([c.Prompts.Length, width, 40], logits.Shape.ToArray());
        for (int i = 0; i < c.Prompts.Length; i++)
        {
            Outcome alone = rig.Run(c.Prompts[i], _ => Saves(rig.Model, "")).Good();
            foreach (string name in (string[])["logits", "hidden", "embedded"])
                Near.Equal(alone.Tensor(name)[0], all.Tensor(name)[i][(width - c.Prompts[i].Length)..]);
        }
    }, iter: 8, seed: "0N0XIzNsQ0O2", threads: 1);

    [Fact]
    public void GenerationsTogether_GiveTheTokensOfEachAlone() => s_case.Sample(c =>
    {
        using Rig rig = New(c.Llama, c.Seed, c.Layers);
        Program together = rig.Record(null, 5, t =>
        {
            for (int i = 0; i < c.Prompts.Length; i++)
                using (t.Invoke(c.Prompts[i])) Steps(rig.Model, t, $"{i}");
        });
        Outcome all = rig.Run(together)[0].Good();
        for (int i = 0; i < c.Prompts.Length; i++)
        {
            Outcome alone = rig.Run(c.Prompts[i], 5, t => Steps(rig.Model, t, $"{i}")).Good();
            // another row may go on longer: what follows a row's end is padding
            long[] ids = alone.Tensor($"ids{i}").ToArray<long>();
            Assert.Equal(ids, all.Tensor($"ids{i}").ToArray<long>()[..ids.Length]);
            TensorData[] expected = alone.Tensors($"steps{i}"), actual = all.Tensors($"steps{i}");
            for (int step = 0; step < expected.Length; step++) Near.Equal(expected[step], actual[step]);
        }
    }, iter: 8, seed: "0N0XIzNsQ0O2", threads: 1);

    [Fact]
    public void PaddingThatTheUserBrings_ChangesNothingForItsTokens()
    {
        using Rig rig = Rig.Llama();
        Outcome alone = rig.Run(s_three, _ => rig.Model.Logits.Save("logits")).Good();
        TokenInput padded = new(TensorData.FromArray([0L, 0, 5, 6, 7], 1, 5), TensorData.FromArray([0L, 0, 1, 1, 1], 1, 5));
        Outcome outcome = rig.Run(padded, _ => rig.Model.Logits.Save("logits")).Good();
        Near.Equal(alone.Tensor("logits"), outcome.Tensor("logits")[.., 2..]);
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
