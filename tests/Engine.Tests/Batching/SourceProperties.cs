using System.Text.RegularExpressions;
using Ndif.Models;
using Ndif.Models.Tests;
using Ndif.Parity.Tests;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Batching;

/// <summary>
/// Every operation of every module: what it gives beside a longer prompt of another user is what it gives alone. So no declared
/// dimension is wrong, and one that is not declared is never guessed.
/// </summary>
public sealed partial class SourceProperties(ITestOutputHelper output)
{
    private static readonly int[] s_prompt = [5, 6, 7, 8];
    private static readonly string[] s_parts = ["q", "k", "v", "scores", "probs", "z"];
    private static readonly int[] s_longer = [9, 3, 4, 11, 12, 13, 2];

    [Theory]
    [InlineData("gpt2")]
    [InlineData("llama")]
    [InlineData("MistralForCausalLM")]
    [InlineData("Qwen2ForCausalLM")]
    [InlineData("Qwen3ForCausalLM")]
    [InlineData("Olmo2ForCausalLM")]
    [InlineData("Phi3ForCausalLM")]
    [InlineData("Starcoder2ForCausalLM")]
    [InlineData("StableLmForCausalLM")]
    [InlineData("MixtralForCausalLM")]
    [InlineData("Qwen2MoeForCausalLM")]
    [InlineData("Qwen3MoeForCausalLM")]
    [InlineData("falcon alibi")]
    [InlineData("falcon sequential")]
    [InlineData("gpt2 scaled by layer")]
    [InlineData("opt norm after")]
    [InlineData("stablelm parallel")]
    [InlineData("phi3 longrope")]
    public void AnOperationInCompany_GivesWhatItGivesAlone(string architecture)
    {
        using Rig rig = New(architecture);
        Check(rig);
    }

    [Theory]
    [InlineData("bloom")]
    [InlineData("falcon")]
    [InlineData("gemma")]
    [InlineData("gemma2")]
    [InlineData("gemma3_text")]
    [InlineData("gpt_neo")]
    [InlineData("gpt_neox")]
    [InlineData("gptj")]
    [InlineData("opt")]
    [InlineData("phi")]
    public void AnOperationOfAReferenceCheckpoint_InCompany_GivesWhatItGivesAlone(string name)
    {
        Assert.SkipWhen(SharedFolder.Golden is null, "there are no reference outputs here (NDIF_SHARED)");
        using Rig rig = Rig.Open(Path.Combine(SharedFolder.Golden!, name));
        Check(rig);
    }

    [Theory]
    [InlineData("gpt2")]
    [InlineData("llama")]
    [InlineData("StableLmForCausalLM")]
    public void AnEditInCompany_DoesWhatItDoesAlone_AndNothingToTheOthers(string architecture)
    {
        using Rig rig = New(architecture);
        TensorData others = rig.Run(s_longer, _ => rig.Model.Logits.Save("logits")).Good().Tensor("logits"), plain = rig.Run(s_prompt, _ => rig.Model.Logits.Save("logits")).Good().Tensor("logits");
        int edited = 0, changed = 0;
        foreach (var (path, site) in Sites(rig).Where(s => s.Site.CanBeCut(rig.Subject.Root.Modules[rig.Subject.IndexOf(s.Path)], after: false)))
        {
            Outcome read = rig.Run(Read(rig, path, site, s_prompt))[0];
            if (read.Error is not null || read["output"].ValueCase is not Data.ValueOneofCase.Tensor || read.Tensor("output").Type != DType.Float32) continue;
            bool inPlace = edited++ % 2 == 0;
            Outcome alone = rig.Run(Edit(rig, path, site, inPlace))[0];
            Assert.True(alone.Error is null, $"{path}.source.{site.Path}: {alone.Error}");
            Outcome[] both = rig.Run(rig.Record(s_longer, _ => rig.Model.Logits.Save("logits")), Edit(rig, path, site, inPlace));
            Assert.True(both[1].Error is null, $"{path}.source.{site.Path}: {both[1].Error}");
            Near.Equal(alone.Tensor("logits"), both[1].Tensor("logits"));
            Near.Equal(others, both[0].Tensor("logits"));
            if (Near.Difference(plain, alone.Tensor("logits")) > 1e-4) changed++;
        }
        output.WriteLine($"{edited} operations edited; {changed} of them changed the logits");
        Assert.True(edited > 30 && changed > edited / 2);
    }

    [Theory]
    [InlineData("bloom")]
    [InlineData("falcon")]
    [InlineData("gpt_neo")]
    [InlineData("gpt2")]
    [InlineData("gemma3_text")]
    [InlineData("phi3")]
    public void PartsOfAttention_AtEveryStepOfAGenerationInCompany_AreThoseAlone(string name)
    {
        Assert.SkipWhen(SharedFolder.Golden is null, "there are no reference outputs here (NDIF_SHARED)");
        using Rig rig = Rig.Open(Path.Combine(SharedFolder.Golden!, name));
        Program other = rig.Record(s_longer, 5, _ => rig.Model.Logits.Save("logits"));
        Outcome alone = rig.Run(Generation(rig))[0].Good(), company = rig.Run(other, Generation(rig))[1].Good();
        foreach (string label in s_parts)
        {
            TensorData[] expected = alone.Tensors(label), actual = company.Tensors(label);
            Assert.Equal(4, expected.Length);
            for (int step = 0; step < 4; step++) Near.Equal(expected[step], actual[step]);
        }
    }

    private static Program Generation(Rig rig) => rig.Record(s_prompt, 4, t =>
    {
        Source source = rig.Model.Layers[1].Attn.Source;
        ValueList[] lists = [.. s_parts.Select(_ => t.List())];
        for (int i = 0; i < s_parts.Length; i++) lists[i].Save(s_parts[i]);
        foreach (int _ in t.Iter[..])
            for (int i = 0; i < s_parts.Length; i++) lists[i].Append(source[s_parts[i]].Output);
    });

    private static Rig New(string architecture) => architecture switch
    {
        "gpt2" => Rig.GPT2(layers: 1),
        "llama" => Rig.Llama(layers: 1),
        _ when architecture.Contains(' ', StringComparison.Ordinal) => Rig.Of(TinyConfigs.Of(architecture, 1)),
        _ => Rig.Of(TinyModel.LikeLlama(architecture, groups: 2, layers: 1)),
    };

    /// <summary>The operations of one layer of those that are alike, with the paths of their modules.</summary>
    private static IEnumerable<(string Path, SourceSite Site)> Sites(Rig rig)
    {
        HashSet<string> seen = [];
        foreach (string path in rig.Subject.Paths)
        {
            if (rig.Subject.Source(rig.Subject.IndexOf(path)) is not { } source || !seen.Add(Number().Replace(path, ".n"))) continue;
            foreach (SourceSite site in source.Sites) yield return (path, site);
        }
    }

    private void Check(Rig rig)
    {
        int cut = 0, whole = 0, never = 0;
        foreach (var (path, site) in Sites(rig))
        {
            Program alone = Read(rig, path, site, s_prompt), together = Read(rig, path, site, s_prompt), other = rig.Record(s_longer, _ => rig.Model.Logits.Save("logits"));
            Outcome expected = rig.Run(alone)[0];
            if (expected.Error is { Code: ErrorCode.MissedValue })
            {
                never++;
                continue;
            }
            string name = $"{path}.source.{site.Path}";
            Assert.True(expected.Error is null, $"{name}: {expected.Error}");
            Outcome[] both = rig.Run(other, together);
            Assert.True(both[1].Error is null, $"{name}: {both[1].Error}");
            foreach (string value in expected.Names) Same(expected[value], both[1][value], $"{name}.{value}");
            if (site.CanBeCut(rig.Subject.Root.Modules[rig.Subject.IndexOf(path)], after: true)) cut++;
            else whole++;
        }
        output.WriteLine($"{cut} operations are cut out of a batch, {whole} run alone, {never} do not run here");
        Assert.True(cut > 20 && cut > whole / 2);
    }

    /// <summary>Half of what the operation gives.</summary>
    private static Program Edit(Rig rig, string path, SourceSite at, bool inPlace) => rig.Record(s_prompt, _ =>
    {
        Operation operation = (path.Length == 0 ? rig.Model : rig.Model[path]).Source[at.Path];
        if (inPlace) operation.Output[..] = operation.Output * 0.5;
        else operation.Output = operation.Output * 0.5;
        rig.Model.Logits.Save("logits");
    });

    private static Program Read(Rig rig, string path, SourceSite at, int[] prompt) => rig.Record(prompt, _ =>
    {
        Envoy module = path.Length == 0 ? rig.Model : rig.Model[path];
        Operation operation = module.Source[at.Path];
        Inputs given = operation.Inputs;
        for (int i = 0; i < at.Operation.Inputs.Count; i++)
            if (at.Operation.Inputs[i] is { Keyword: null, Shape.Length: > 0 }) given.Args[i].Save($"input {i}");
        operation.Output.Save("output");
    });

    private static void Same(Data expected, Data actual, string name)
    {
        Assert.True(expected.ValueCase == actual.ValueCase, name);
        switch (expected.ValueCase)
        {
            case Data.ValueOneofCase.Tensor:
                TensorData a = TensorData.From(expected.Tensor), b = TensorData.From(actual.Tensor);
                Assert.True(a.Shape.SequenceEqual(b.Shape), $"{name}: alone [{string.Join(", ", a.Shape.ToArray())}], in company [{string.Join(", ", b.Shape.ToArray())}]");
                float[] left = a.To(DType.Float32).ToArray<float>(), right = b.To(DType.Float32).ToArray<float>();
                for (int i = 0; i < left.Length; i++)
                    Assert.True(Math.Abs(left[i] - right[i]) <= 1e-4 * Math.Max(1, Math.Abs(left[i])), $"{name}: alone {left[i]}, in company {right[i]} at {i} of [{string.Join(", ", a.Shape.ToArray())}]");
                break;
            case Data.ValueOneofCase.List:
                for (int i = 0; i < expected.List.Items.Count; i++) Same(expected.List.Items[i], actual.List.Items[i], $"{name}[{i}]");
                break;
        }
    }

    [GeneratedRegex(@"\.\d+(?=\.|$)")]
    private static partial Regex Number();
}
