using Ndif.Models.Architectures;
using Ndif.Models.Config;
using Ndif.Models.Files;
using Ndif.Models.Layers;
using Ndif.Models.Loading;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Tests.Loading;

public sealed class LoraMergerTests : IDisposable
{
    private readonly TempFolder _folder = new(), _adapter = new();

    public void Dispose()
    {
        _folder.Dispose();
        _adapter.Dispose();
    }

    public static TheoryData<string> Architectures => [.. ArchitectureCatalog.Names];

    [Theory]
    [MemberData(nameof(Architectures))]
    public void EveryLinearLayer_OfEveryArchitecture_IsWPlusBATimesScale(string architecture)
    {
        Write(architecture);
        PreTrainedModel tree = ArchitectureCatalog.Build(ConfigReader.Open(_folder.File("config.json")));
        Dictionary<string, (long Outputs, long Inputs, bool Turned)> targets = [];
        HashSet<Parameter> seen = [];
        foreach (SiteModule module in tree.Modules)
            foreach (Parameter parameter in module.Parameters.Where(seen.Add))
                if (parameter.Parts.Count > 0)
                    foreach (var (name, shape) in parameter.Parts)
                        targets[$"{module.Path}.{name[..name.LastIndexOf('.')]}"] = (shape[0], shape[1], false);
                else if (module is Linear && parameter.Name == "weight")
                    targets[module.Path] = (parameter.Shape[0], parameter.Shape[1], false);
                else if (module is Conv1D && parameter.Name == "weight")
                    targets[module.Path] = (parameter.Shape[1], parameter.Shape[0], true);
        Assert.NotEmpty(targets);
        WriteInParts(tree);
        var matrices = AdapterFiles.Write(_adapter, targets.Keys, rank: 3, m => (targets[m].Outputs, targets[m].Inputs));
        Dictionary<string, float[]> expected = [];
        using (Checkpoint checkpoint = Checkpoint.Open(_folder.Path))
            foreach (string module in targets.Keys)
            {
                using Tensor weight = checkpoint.Read($"{module}.weight");
                expected[module] = Merged(weight.data<float>().ToArray(), matrices[module], targets[module].Turned, scale: 2);
            }

        using LoadedModel model = Load();
        foreach (SiteModule module in model.Modules)
            foreach (Parameter parameter in module.Parameters)
                if (parameter.Parts.Count > 0)
                    Assert.Equal(parameter.Parts.SelectMany(p => expected[$"{module.Path}.{p.Name[..p.Name.LastIndexOf('.')]}"]),
                        parameter.Value.data<float>().ToArray(), Near);
                else if (parameter.Name == "weight" && expected.TryGetValue(module.Path, out float[]? merged))
                    Assert.Equal(merged, parameter.Value.data<float>().ToArray(), Near);
        using LoadedModel plain = TinyModel.Load(_folder.Path);
        foreach (var (with, without) in model.Modules.Zip(plain.Modules)) // no other weight changes
            foreach (var (w, o) in with.Parameters.Zip(without.Parameters))
                if (!targets.ContainsKey(with.Path) && w.Parts.Count == 0)
                    Assert.True(w.Value.Equals(o.Value) || model.Modules.Any(m => targets.ContainsKey(m.Path) && m.Parameters.Contains(w)),
                        with.Path);
    }

    [Fact]
    public void HandComputed_Conv1D_IsTurned()
    {
        TinyModel.Write(_folder, TinyModel.GPT2(), change: weights => weights["transformer.h.1.mlp.c_fc.weight"] = zeros(16, 64));
        AdapterFiles.Write(_adapter, ["transformer.h.1.mlp.c_fc"], rank: 1, _ => (64, 16),
            """{ "peft_type": "LORA", "r": 1, "lora_alpha": 4, "fan_in_fan_out": true }""",
            change: tensors =>
            (tensors["base_model.model.transformer.h.1.mlp.c_fc.lora_A.weight"],
                tensors["base_model.model.transformer.h.1.mlp.c_fc.lora_B.weight"]) =
                (arange(16).to(ScalarType.Float32).view(1, 16), arange(64).to(ScalarType.Float32).view(64, 1)));
        using LoadedModel model = Load();
        Tensor weight = model.Module("transformer.h.1.mlp.c_fc")!.Parameters[0].Value; // [inFeatures, outFeatures]
        Assert.Equal(4f * 3 * 50, weight[3, 50].item<float>()); // alpha / rank · A[0, input] · B[output, 0]
        Assert.Equal(4f * 15 * 63, weight[15, 63].item<float>());
    }

    [Theory]
    [InlineData("""{ "r": 4, "lora_alpha": 6 }""", 6.0 / 4)]
    [InlineData("""{ "r": 4, "lora_alpha": 6, "use_rslora": true }""", 6.0 / 2)]
    [InlineData("""{ "r": 8, "lora_alpha": 6, "rank_pattern": { "q_proj": 4 } }""", 6.0 / 4)]
    [InlineData("""{ "r": 4, "lora_alpha": 6, "alpha_pattern": { "model.layers.1.self_attn.q_proj": 10 } }""", 10.0 / 4)]
    [InlineData("""{ "r": 4, "lora_alpha": 6, "alpha_pattern": { "layers\\.[1-3]\\..*q_proj": 1, "q_proj": 99 } }""", 1.0 / 4)]
    [InlineData("""{ "r": 4, "lora_alpha": 6, "alpha_pattern": { "proj": 99, "1.self_attn.q_pro": 98 } }""", 6.0 / 4)]
    [InlineData(
        """{ "peft_type": "LORA", "r": 4, "lora_alpha": 6, "bias": "none", "use_dora": false, "modules_to_save": null,"""
        + """ "init_lora_weights": true, "layer_replication": [] }""", 6.0 / 4)]
    public void Scale_IsPefts(string config, double scale)
    {
        TinyModel.Write(_folder, TinyModel.Llama());
        var matrices = AdapterFiles.Write(_adapter, ["model.layers.1.self_attn.q_proj"], rank: 4, _ => (16, 16), config);
        float[] expected;
        using (Checkpoint checkpoint = Checkpoint.Open(_folder.Path))
        using (Tensor weight = checkpoint.Read("model.layers.1.self_attn.q_proj.weight"))
            expected = Merged(weight.data<float>().ToArray(), matrices["model.layers.1.self_attn.q_proj"], turned: false, scale);
        using LoadedModel model = Load();
        Assert.Equal(expected, model.Module("model.layers.1.self_attn.q_proj")!.Parameters[0].Value.data<float>().ToArray(), Near);
    }

    /// <summary>Of layers 0 and 1, each with q_proj and k_proj.</summary>
    [Theory]
    [InlineData(""" "target_modules": ["q_proj"] """, "0.q 1.q")]
    [InlineData(""" "target_modules": ["proj", "1.self_attn.k_proj"] """, "1.k")]
    [InlineData(""" "target_modules": ".*\\.0\\..*_proj" """, "0.k 0.q")]
    [InlineData(""" "target_modules": "q_proj" """, "")]
    [InlineData(""" "target_modules": "all-linear" """, "0.k 0.q 1.k 1.q")]
    [InlineData(""" "target_modules": [] """, "0.k 0.q 1.k 1.q")]
    [InlineData(""" "exclude_modules": ["k_proj"] """, "0.q 1.q")]
    [InlineData(""" "exclude_modules": ".*1.*", "target_modules": ["q_proj"] """, "0.q")]
    [InlineData(""" "target_modules": ["q_proj"], "layers_to_transform": 1 """, "1.q")]
    [InlineData(""" "target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": "layers" """, "0.q")]
    [InlineData(""" "target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": ["h"] """, "")]
    [InlineData(""" "target_modules": ["model.layers.1.self_attn.q_proj"], "layers_to_transform": [0] """, "1.q")]
    public void MatricesThatTheConfigDoesNotName_AreNotUsed_AsInPeft(string targets, string used)
    {
        string[] modules = [.. from layer in (int[])[0, 1] from kind in "kq" select $"model.layers.{layer}.self_attn.{kind}_proj"];
        AdapterFiles.Write(_adapter, modules, rank: 2, _ => (16, 16), $$"""{ "r": 2, {{targets}} }""",
            change: tensors => tensors["base_model.model.model.norm.weight"] = ones(16));
        using AdapterFile file = AdapterFile.Open(_adapter.Path);
        Assert.Equal(used, string.Join(' ', file.Pairs.Select(pair => $"{pair.Module[13]}.{pair.Module[^6]}")));
        Assert.Equal(4 - file.Pairs.Count, file.Warnings.Count);
    }

    [Fact]
    public void EmbeddingsAdapter_IsMerged_IntoTheTable()
    {
        TinyModel.Write(_folder, TinyModel.Llama());
        var matrices = AdapterFiles.Write(_adapter, ["model.embed_tokens"], rank: 2, _ => (16, TinyModel.VocabSize), table: true);
        float[] expected;
        using (Checkpoint checkpoint = Checkpoint.Open(_folder.Path))
        using (Tensor weight = checkpoint.Read("model.embed_tokens.weight"))
            expected = Merged(weight.data<float>().ToArray(), matrices["model.embed_tokens"], turned: true, scale: 2);
        using LoadedModel model = Load();
        Assert.Equal(expected, model.Module("model.embed_tokens")!.Parameters[0].Value.data<float>().ToArray(), Near);
    }

    [Fact]
    public void HalfPrecision_IsRoundedOnce()
    {
        TinyModel.Write(_folder, TinyModel.Llama());
        AdapterFiles.Write(_adapter, ["model.layers.0.mlp.up_proj"], rank: 2, _ => (24, 16));
        using LoadedModel wide = Load(), half = Load(new LoadOptions { DType = ScalarType.BFloat16 });
        Assert.Equal(ScalarType.BFloat16, half.DType);
        using Tensor rounded = wide.Module("model.layers.0.mlp.up_proj")!.Parameters[0].Value.to(ScalarType.BFloat16);
        Assert.True(rounded.Equals(half.Module("model.layers.0.mlp.up_proj")!.Parameters[0].Value));
    }

    [Fact]
    public void WhatIsNotChanged_StaysMapped_AndNothingIsLeftBehind()
    {
        TinyModel.Write(_folder, TinyModel.Llama());
        AdapterFiles.Write(_adapter, ["model.layers.0.mlp.up_proj"], rank: 2, _ => (24, 16));
        long before = Tensor.TotalCount;
        using (Load()) Assert.Equal(1, FileMapping.LiveCount(_folder.Path));
        Assert.InRange(Tensor.TotalCount, 0, before); // fewer if the finalizer has freed tensors of an earlier test
        Assert.Equal(0, FileMapping.LiveCount(_folder.Path) + FileMapping.LiveCount(_adapter.Path));
    }

    [Theory]
    [InlineData("""{ "peft_type": "IA3" }""", "of the kind IA3")]
    [InlineData("""{ "r": 2, "use_dora": true }""", "`use_dora`, which is not supported")]
    [InlineData("""{ "r": 2, "modules_to_save": ["lm_head"] }""", "names `lm_head` in `modules_to_save` and has no tensor of it")]
    [InlineData("""{ "r": 2, "init_lora_weights": "pissa_niter_16" }""", "started by pissa_niter_16")]
    [InlineData("""{ "r": 3 }""", "with shape [2, 16]; the rank 3")]
    [InlineData("""{ "r": 2, "lora_alpha": null }""", "has `lora_alpha`: null")]
    [InlineData("""{ "r": 2, "target_modules": ["down_proj"] }""", "changes nothing")]
    [InlineData("""{ "r": 2, "target_modules": "(" }""", "regular expression that cannot be used")]
    [InlineData("""{ "r": 0 }""", "`r` must be positive")]
    [InlineData("""{ "r": "two" }""", "`r` must be a whole number")]
    [InlineData("""{ "r": 2, "rank_pattern": { "(": 2 } }""", "regular expression")]
    [InlineData("""{ "r": 2, "alpha_pattern": { "q_proj": "x" } }""", "`alpha_pattern.q_proj` must be a number")]
    public void ConfigThatCannotBeMerged_IsRefused_AndSaysWhy(string config, string why)
    {
        TinyModel.Write(_folder, TinyModel.Llama());
        AdapterFiles.Write(_adapter, ["model.layers.0.mlp.up_proj"], rank: 2, _ => (24, 16), config);
        Refused(why);
    }

    [Fact]
    public void TensorsWithoutAPlace_AreNamed()
    {
        TinyModel.Write(_folder, TinyModel.Llama());
        const string A = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
            B = "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight";
        Write(t => t.Remove(B));
        Refused($"has `{A}` and not `{B}`");
        Write(t => t["base_model.model.model.layers.7.mlp.up_proj.lora_A.weight"] =
            t["base_model.model.model.layers.7.mlp.up_proj.lora_B.weight"] = ones(2, 2));
        Refused("changes `model.layers.7.mlp.up_proj`, which LlamaForCausalLM has no weight of");
        Write(t => t["base_model.model.lm_head.weight"] = ones(2, 2));
        Refused("`base_model.model.lm_head.weight` with shape [2, 2]; the model's is [40, 16]");
        Write(t => (t["base_model.model.model.norm.lora_A.weight"], t["base_model.model.model.norm.lora_B.weight"]) =
            (ones(2, 16), ones(16, 2)));
        Refused("changes `model.norm`, a LlamaRMSNorm, which LoRA is not merged into");
        Write(t => t[A] = t[A].to(ScalarType.Int64));
        Refused("as I64, which is no floating-point type");
        Write(t => t.Clear());
        Refused("changes nothing");

        void Write(Action<Dictionary<string, Tensor>> change) =>
            AdapterFiles.Write(_adapter, ["model.layers.0.mlp.up_proj"], rank: 2, _ => (24, 16), change: change);
    }

    [Fact]
    public void FolderWithoutAdapter_SaysWhatIsMissing()
    {
        TinyModel.Write(_folder, TinyModel.Llama());
        Refused("has no adapter_config.json with adapter_model.safetensors");
        _adapter.Write("adapter_config.json", "{}");
        _adapter.Write("adapter_model.bin", "\u0080");
        Refused("safe_serialization=True");
    }

    private CheckpointException Refused(string why)
    {
        long before = Tensor.TotalCount;
        CheckpointException error = Assert.Throws<CheckpointException>(() => Load());
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.InRange(Tensor.TotalCount, 0, before); // fewer if the finalizer has freed tensors of an earlier test
        Assert.Equal(0, FileMapping.LiveCount(_folder.Path) + FileMapping.LiveCount(_adapter.Path));
        return error;
    }

    private LoadedModel Load(LoadOptions? options = null) =>
        ModelLoader.Load(_folder.Path, null, (options ?? new()) with { Adapter = _adapter.Path },
            cancellationToken: TestContext.Current.CancellationToken);

    private void Write(string architecture)
    {
        string config = TinyConfigs.OfArchitecture(architecture);
        _folder.Write("config.json", config);
        Assert.InRange(ArchitectureCatalog.Build(ConfigReader.Open(_folder.File("config.json"))).Modules.SelectMany(m => m.Parameters)
            .Sum(p => p.Shape.Aggregate(1L, (a, b) => a * b)), 1, 100_000);
        TinyModel.Write(_folder, config);
    }

    /// <summary>Writes weights in parts, as checkpoints store them.</summary>
    private void WriteInParts(PreTrainedModel tree)
    {
        using var scope = NewDisposeScope();
        Dictionary<string, Tensor> weights = TinyModel.Weights(_folder);
        foreach (SiteModule module in tree.Modules)
            foreach (Parameter parameter in module.Parameters.Where(p => p.Parts.Count > 0))
            {
                Tensor rows = weights[$"{module.Path}.{parameter.Name}"].view(-1, parameter.Shape[^1]);
                weights.Remove($"{module.Path}.{parameter.Name}");
                long at = 0;
                foreach (var (name, shape) in parameter.Parts)
                {
                    weights[$"{module.Path}.{name}"] = rows.narrow(0, at, shape[0]).clone();
                    at += shape[0];
                }
            }
        SafetensorsWriter.Write(_folder.File("model.safetensors"), weights);
    }

    private static bool Near(float a, float b) => Math.Abs(a - b) <= 1e-5 * Math.Max(1, Math.Abs(a));

    /// <summary>W + scaling · B A, computed by loops as in the paper.</summary>
    private static float[] Merged(float[] weight, (float[,] A, float[,] B) change, bool turned, double scale)
    {
        int rank = change.A.GetLength(0), inputs = change.A.GetLength(1), outputs = change.B.GetLength(0);
        float[] merged = [.. weight];
        for (int output = 0; output < outputs; output++)
            for (int input = 0; input < inputs; input++)
            {
                double sum = 0;
                for (int r = 0; r < rank; r++) sum += (double)change.B[output, r] * change.A[r, input];
                int at = turned ? input * outputs + output : output * inputs + input;
                merged[at] = (float)(weight[at] + scale * sum);
            }
        return merged;
    }
}
