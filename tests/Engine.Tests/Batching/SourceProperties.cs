using System.Text.RegularExpressions;
using Ndif.Engine.Tests.Support;
using Ndif.Models.ForwardSource;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Batching;

/// <summary>
/// Every operation of every module gives the same values in a batch with a longer prompt of another user as it gives alone. So no
/// declared dimension is wrong, and an undeclared one is never guessed.
/// </summary>
public sealed partial class SourceProperties(ITestOutputHelper output)
{
    private static readonly int[] _prompt = [5, 6, 7, 8];
    private static readonly string[] _parts = ["q", "k", "v", "scores", "probs", "z"];
    private static readonly int[] _longer = [9, 3, 4, 11, 12, 13, 2];

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
    [InlineData("gemma3n")]
    [InlineData("gemma4")]
    [InlineData("gemma4 moe")]
    [InlineData("gpt_bigcode")]
    [InlineData("gpt_bigcode key for each head")]
    [InlineData("codegen")]
    [InlineData("mpt")]
    [InlineData("xglm")]
    [InlineData("biogpt")]
    [InlineData("t5")]
    [InlineData("bart")]
    [InlineData("BertForMaskedLM")]
    [InlineData("RobertaForSequenceClassification")]
    [InlineData("DistilBertForTokenClassification")]
    [InlineData("ModernBertForMaskedLM")]
    [InlineData("DebertaV2ForSequenceClassification")]
    public void ABatchedOperation_GivesWhatItGivesAlone(string architecture)
    {
        using EngineFixture fixture = New(architecture);
        Check(fixture);
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
    public void AnOperationOfAReferenceCheckpoint_Batched_GivesWhatItGivesAlone(string name)
    {
        Assert.SkipWhen(SharedFolder.Golden is null, "there are no reference outputs here (NDIF_SHARED)");
        using EngineFixture fixture = EngineFixture.Open(Path.Combine(SharedFolder.Golden!, name));
        Check(fixture);
    }

    [Theory]
    [InlineData("gpt2")]
    [InlineData("llama")]
    [InlineData("StableLmForCausalLM")]
    public void ABatchedEdit_DoesWhatItDoesAlone_AndNothingToTheOthers(string architecture)
    {
        using EngineFixture fixture = New(architecture);
        TensorData others = fixture.Run(_longer, _ => fixture.Output.Save("logits")).AssertCompleted().Tensor("logits"),
            plain = fixture.Run(_prompt, _ => fixture.Output.Save("logits")).AssertCompleted().Tensor("logits");
        int edited = 0, changed = 0;
        foreach (var (path, site) in Sites(fixture)
            .Where(s => s.Site.CanBeSliced(fixture.HookedModel.Root.Modules[fixture.HookedModel.IndexOf(s.Path)], after: false)))
        {
            JobOutcome read = fixture.Run(Read(fixture, path, site, _prompt))[0];
            if (read.Error is not null || read["output"].ValueCase is not Data.ValueOneofCase.Tensor
                || read.Tensor("output").Type != DType.Float32) continue;
            bool inPlace = edited++ % 2 == 0;
            JobOutcome alone = fixture.Run(Edit(fixture, path, site, inPlace))[0];
            Assert.True(alone.Error is null, $"{path}.source.{site.Path}: {alone.Error}");
            JobOutcome[] both =
                fixture.Run(fixture.Record(_longer, _ => fixture.Output.Save("logits")), Edit(fixture, path, site, inPlace));
            Assert.True(both[1].Error is null, $"{path}.source.{site.Path}: {both[1].Error}");
            TensorAssert.Equal(alone.Tensor("logits"), both[1].Tensor("logits"));
            TensorAssert.Equal(others, both[0].Tensor("logits"));
            if (TensorAssert.Difference(plain, alone.Tensor("logits")) > 1e-4) changed++;
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
    public void PartsOfAttention_AtEveryStepOfABatchedGeneration_AreThoseAlone(string name)
    {
        Assert.SkipWhen(SharedFolder.Golden is null, "there are no reference outputs here (NDIF_SHARED)");
        using EngineFixture fixture = EngineFixture.Open(Path.Combine(SharedFolder.Golden!, name));
        Program other = fixture.Record(_longer, 5, _ => fixture.Output.Save("logits"));
        JobOutcome alone = fixture.Run(Generation(fixture))[0].AssertCompleted(),
            batched = fixture.Run(other, Generation(fixture))[1].AssertCompleted();
        foreach (string label in _parts)
        {
            TensorData[] expected = alone.Tensors(label), actual = batched.Tensors(label);
            Assert.Equal(4, expected.Length);
            for (int step = 0; step < 4; step++) TensorAssert.Equal(expected[step], actual[step]);
        }
    }

    private static Program Generation(EngineFixture fixture) => fixture.Record(_prompt, 4, t =>
    {
        Source source = fixture.Model.Layers[1].Attn.Source;
        ValueList[] lists = [.. _parts.Select(_ => t.List())];
        for (int i = 0; i < _parts.Length; i++) lists[i].Save(_parts[i]);
        foreach (int _ in t.Iter[..])
            for (int i = 0; i < _parts.Length; i++) lists[i].Append(source[_parts[i]].Output);
    });

    private static EngineFixture New(string architecture) => architecture switch
    {
        "gpt2" => EngineFixture.GPT2(layers: 1),
        "llama" => EngineFixture.Llama(layers: 1),
        _ when TinyConfigs.Names.Contains(architecture) => EngineFixture.Of(TinyConfigs.Of(architecture, 1)),
        _ => EngineFixture.Of(TinyModel.LikeLlama(architecture, kvHeads: 2, layers: 1)),
    };

    /// <summary>The operations of one of several identical layers, with the paths of their modules.</summary>
    private static IEnumerable<(string Path, SourceSite Site)> Sites(EngineFixture fixture)
    {
        HashSet<string> seen = [];
        foreach (string path in fixture.HookedModel.Paths)
        {
            if (fixture.HookedModel.Source(fixture.HookedModel.IndexOf(path)) is not { } source || !seen.Add(Number().Replace(path, ".n")))
                continue;
            foreach (SourceSite site in source.Sites) yield return (path, site);
        }
    }

    private void Check(EngineFixture fixture)
    {
        int cut = 0, whole = 0, never = 0;
        foreach (var (path, site) in Sites(fixture))
        {
            Program alone = Read(fixture, path, site, _prompt), together = Read(fixture, path, site, _prompt),
                other = fixture.Record(_longer, _ => fixture.Output.Save("logits"));
            JobOutcome expected = fixture.Run(alone)[0];
            if (expected.Error is { Code: ErrorCode.MissedValue })
            {
                never++;
                continue;
            }
            string name = $"{path}.source.{site.Path}";
            Assert.True(expected.Error is null, $"{name}: {expected.Error}");
            JobOutcome[] both = fixture.Run(other, together);
            Assert.True(both[1].Error is null, $"{name}: {both[1].Error}");
            foreach (string value in expected.Names) Same(expected[value], both[1][value], $"{name}.{value}");
            if (site.CanBeSliced(fixture.HookedModel.Root.Modules[fixture.HookedModel.IndexOf(path)], after: true)) cut++;
            else whole++;
        }
        output.WriteLine($"{cut} operations are cut out of a batch, {whole} run alone, {never} do not run here");
        Assert.True(cut > 20 && cut > whole / 2);
    }

    /// <summary>Half of the output of the operation.</summary>
    private static Program Edit(EngineFixture fixture, string path, SourceSite at, bool inPlace) => fixture.Record(_prompt, _ =>
    {
        Operation operation = (path.Length == 0 ? fixture.Any : fixture.Any[path]).Source[at.Path];
        if (inPlace) operation.Output[..] = operation.Output * 0.5;
        else operation.Output = operation.Output * 0.5;
        fixture.Output.Save("logits");
    });

    private static Program Read(EngineFixture fixture, string path, SourceSite at, int[] prompt) => fixture.Record(prompt, _ =>
    {
        Envoy module = path.Length == 0 ? fixture.Any : fixture.Any[path];
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
                TensorData a = TensorData.FromProto(expected.Tensor), b = TensorData.FromProto(actual.Tensor);
                Assert.True(a.Shape.SequenceEqual(b.Shape),
                    $"{name}: alone [{string.Join(", ", a.Shape.ToArray())}], batched [{string.Join(", ", b.Shape.ToArray())}]");
                float[] left = a.To(DType.Float32).ToArray<float>(), right = b.To(DType.Float32).ToArray<float>();
                for (int i = 0; i < left.Length; i++)
                    Assert.True(Math.Abs(left[i] - right[i]) <= 1e-4 * Math.Max(1, Math.Abs(left[i])),
                        $"{name}: alone {left[i]}, batched {right[i]} at {i} of [{string.Join(", ", a.Shape.ToArray())}]");
                break;
            case Data.ValueOneofCase.List:
                for (int i = 0; i < expected.List.Items.Count; i++) Same(expected.List.Items[i], actual.List.Items[i], $"{name}[{i}]");
                break;
        }
    }

    [GeneratedRegex(@"\.\d+(?=\.|$)")]
    private static partial Regex Number();
}
