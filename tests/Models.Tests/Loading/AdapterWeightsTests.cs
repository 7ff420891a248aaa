using Ndif.Models.Files;
using Ndif.Models.Loading;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Tests.Loading;

/// <summary>
/// Adapters with whole tensors, and adapters of weights that two modules share. What PEFT computes is written down as a checkpoint without
/// ties.
/// </summary>
public sealed class AdapterWeightsTests : IDisposable
{
    private const string Prefix = "base_model.model.";

    private readonly TempFolder _folder = new(), _adapter = new(), _expected = new();

    public void Dispose()
    {
        _folder.Dispose();
        _adapter.Dispose();
        _expected.Dispose();
    }

    public static TheoryData<string, string, bool> Models => new()
    {
        { "transformer.wte", "lm_head", true }, { "model.embed_tokens", "lm_head", true }, { "model.embed_tokens", "lm_head", false },
    };

    [Theory, MemberData(nameof(Models))]
    public void LoraOfTheHead_ChangesTheHeadOnly(string embed, string head, bool isTied) =>
        Check(embed, isTied, "", file => AddLora(file, head), weights => weights[$"{head}.weight"] += Product(head));

    [Theory, MemberData(nameof(Models))]
    public void LoraOfTheEmbedding_ChangesTheEmbeddingOnly(string embed, string head, bool isTied)
    {
        Assert.NotEmpty(head);
        Check(embed, isTied, "", file => AddLora(file, embed, isEmbedding: true),
            weights => weights[$"{embed}.weight"] += Product(embed, isEmbedding: true));
    }

    [Theory, MemberData(nameof(Models))]
    public void LoraOfBoth_ChangesEachBySomethingElse(string embed, string head, bool isTied) =>
        Check(embed, isTied, "", file =>
        {
            AddLora(file, embed, isEmbedding: true);
            AddLora(file, head);
        }, weights =>
        {
            weights[$"{embed}.weight"] += Product(embed, isEmbedding: true);
            weights[$"{head}.weight"] += Product(head);
        });

    [Theory, MemberData(nameof(Models))]
    public void BaseLayerOfTheHead_ReplacesTheSharedWeight_BeforeLora(string embed, string head, bool isTied) =>
        Check(embed, isTied, "", file =>
        {
            AddLora(file, head);
            file[$"{Prefix}{head}.base_layer.weight"] = Table(5);
        }, weights =>
        {
            if (isTied) weights[$"{embed}.weight"] = Table(5);
            weights[$"{head}.weight"] = Table(5) + Product(head);
        });

    [Theory, MemberData(nameof(Models))]
    public void SavedEmbeddingLayer_ReplacesTheSharedWeight(string embed, string head, bool isTied) =>
        Check(embed, isTied, "", file => file[$"{Prefix}{embed}.weight"] = Table(5), weights =>
        {
            weights[$"{embed}.weight"] = Table(5);
            if (isTied) weights[$"{head}.weight"] = Table(5);
        });

    [Theory, MemberData(nameof(Models))]
    public void OfTwoSavedEmbeddingLayers_TheHeadsIsLoadedLast(string embed, string head, bool isTied) =>
        Check(embed, isTied, "", file => (file[$"{Prefix}{embed}.weight"], file[$"{Prefix}{head}.weight"]) = (Table(5), Table(6)),
            weights => (weights[$"{embed}.weight"], weights[$"{head}.weight"]) = (Table(isTied ? 6UL : 5UL), Table(6)));

    [Theory, MemberData(nameof(Models))]
    public void ModulesToSave_HaveCopies(string embed, string head, bool isTied)
    {
        Check(embed, isTied, $""", "modules_to_save": ["{head}"]""", file => file[$"{Prefix}{head}.weight"] = Table(5),
            weights => weights[$"{head}.weight"] = Table(5));
        string name = embed.Split('.')[^1];
        Check(embed, isTied, $""", "modules_to_save": ["{name}"]""", file => file[$"{Prefix}{embed}.weight"] = Table(5),
            weights => weights[$"{embed}.weight"] = Table(5));
    }

    [Fact]
    public void EnsuredWeightTying_KeepsTheSavedModulesTied() =>
        Check("model.embed_tokens", isTied: true, """, "modules_to_save": ["embed_tokens"], "ensure_weight_tying": true""",
            file => file[$"{Prefix}model.embed_tokens.weight"] = file[$"{Prefix}lm_head.weight"] = Table(5),
            weights => weights["model.embed_tokens.weight"] = weights["lm_head.weight"] = Table(5));

    [Fact]
    public void ModulesToSave_AreFoundByTheEndOfTheirPaths() =>
        Check("model.embed_tokens", isTied: true, """, "modules_to_save": ["norm"]""",
            file => EachNorm((path, seed) => file[Prefix + path] = Vector(seed, 16)),
            weights => EachNorm((path, seed) => weights[path] = Vector(seed, 16)));

    [Fact]
    public void Biases_AreReplaced() =>
        Check("transformer.wte", isTied: true, """, "bias": "all" """, file =>
        {
            AddLora(file, "transformer.h.0.attn.c_attn", outputs: 48);
            file[$"{Prefix}transformer.h.0.attn.c_attn.base_layer.bias"] = Vector(3, 48);
            file[$"{Prefix}transformer.h.1.ln_2.bias"] = Vector(4, 16);
            file[$"{Prefix}transformer.h.1.attn.bias"] = ones(1, 1, 48, 48); // the causal mask of old checkpoints
        }, weights =>
        {
            weights["transformer.h.0.attn.c_attn.weight"] += Product("transformer.h.0.attn.c_attn", outputs: 48).t();
            weights["transformer.h.0.attn.c_attn.bias"] = Vector(3, 48);
            weights["transformer.h.1.ln_2.bias"] = Vector(4, 16);
        });

    [Fact]
    public void NamesWithoutPrefix_AreThoseOfTheModel() =>
        Check("model.embed_tokens", isTied: false, "", file => file["lm_head.weight"] = Table(5),
            weights => weights["lm_head.weight"] = Table(5));

    [Fact]
    public void WeightOfATargetModuleOutsideOfItsBaseLayer_IsIgnoredAsInPeft_WithAWarning()
    {
        IReadOnlyList<string> warnings = Check("model.embed_tokens", isTied: false, "", file =>
        {
            AddLora(file, "lm_head");
            file[$"{Prefix}lm_head.weight"] = Table(5);
        }, weights => weights["lm_head.weight"] += Product("lm_head"));
        Assert.Contains("has `base_model.model.lm_head.weight`", Assert.Single(warnings), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "lm_head.base_layer.weight", 45, "with shape [45, 16]; the model's is [40, 16]")]
    [InlineData("", "score.weight", 40, "changes `score`, which LlamaForCausalLM has no weight of")]
    [InlineData(""", "modules_to_save": ["embed_tokens"]""", "lm_head.weight", 40, "names `embed_tokens` in `modules_to_save`")]
    [InlineData(""", "modules_to_save": ["norm"]""", "model.norm.weight", 16, "names `model.layers.0.input_layernorm`")]
    [InlineData("", "lm_head.lora_magnitude_vector", 40, "has `base_model.model.lm_head.lora_magnitude_vector`, which is neither")]
    [InlineData("", "lm_head.token_adapter.trainable_tokens_delta", 40, "which is neither")]
    [InlineData(""", "bias": "some" """, "lm_head.weight", 40, "has `bias`: some")]
    [InlineData(""", "lora_bias": true""", "lm_head.weight", 40, "has `lora_bias`, which is not supported")]
    [InlineData(""", "kasa_config": { "beta": 1 }""", "lm_head.weight", 40, "has `kasa_config`, which is not supported")]
    public void WhatPeftComputesOtherwise_IsRefused(string more, string name, long rows, string why)
    {
        TinyModel.Write(_folder, TinyModel.Llama());
        WriteAdapter(more, file => file[Prefix + name] = name.Contains("norm", StringComparison.Ordinal) ? ones(rows) : ones(rows, 16));
        CheckpointException error = Assert.Throws<CheckpointException>(() => Load().Dispose());
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void SeparatedHead_IsRoundedOnce_AndStaysSeparateInEightBits()
    {
        TinyModel.Write(_folder, TinyModel.GPT2());
        WriteAdapter("", file => AddLora(file, "lm_head"));
        using LoadedModel wide = Load(), half = Load(new LoadOptions { DType = ScalarType.BFloat16 }),
            eight = Load(new LoadOptions { EightBit = true });
        using Tensor rounded = Weight(wide, "lm_head").to(ScalarType.BFloat16);
        Assert.True(rounded.Equals(Weight(half, "lm_head")));
        Assert.True(Weight(wide, "lm_head").Equals(Weight(eight, "lm_head"))); // the head is not quantized
        Assert.False(Weight(wide, "lm_head").Equals(Weight(wide, "transformer.wte")));
    }

    private static Tensor Weight(LoadedModel model, string module) => model.Module(module)!.Parameters[0].Value;

    /// <summary>Loads a model with the adapter and compares it with a checkpoint without ties that has the expected weights.</summary>
    private IReadOnlyList<string> Check(string embed, bool isTied, string more, Action<Dictionary<string, Tensor>> adapter,
        Action<Dictionary<string, Tensor>> expected)
    {
        bool isGpt2 = embed == "transformer.wte";
        string Config(bool ties)
        {
            string flag = $", \"tie_word_embeddings\": {(ties ? "true" : "false")}";
            return isGpt2 ? TinyModel.GPT2(more: flag) : TinyModel.Llama(more: flag);
        }
        using var scope = NewDisposeScope();
        TinyModel.Write(_folder, Config(isTied));
        WriteAdapter(more, adapter);
        Dictionary<string, Tensor> weights = TinyModel.Weights(_folder);
        if (isTied) weights["lm_head.weight"] = weights[$"{embed}.weight"].clone();
        expected(weights);
        TinyModel.Write(_expected, Config(ties: false), change: all =>
        {
            foreach (var (name, value) in weights) all[name] = value;
        });
        using LoadedModel model = Load(), wanted = TinyModel.Load(_expected.Path);
        foreach (var (path, parameter) in WeightBinding.Parameters(wanted.Root))
            Assert.True(TinyModel.Difference(parameter.Value, WeightBinding.Parameters(model.Root)[path].Value) < 1e-5, path);
        Tensor ids = TinyModel.Ids(1, 7, seed: 3);
        Assert.True(TinyModel.Difference(TinyModel.Logits(wanted, ids), TinyModel.Logits(model, ids)) < 1e-4);
        using LoadedModel plain = TinyModel.Load(_folder.Path);
        Assert.True(TinyModel.Difference(TinyModel.Logits(wanted, ids), TinyModel.Logits(plain, ids)) > 1e-2);
        return model.Warnings;
    }

    private void WriteAdapter(string more, Action<Dictionary<string, Tensor>> change)
    {
        using var scope = NewDisposeScope();
        _adapter.Write("adapter_config.json", $$"""{ "peft_type": "LORA", "r": 2, "lora_alpha": 6 {{more}} }""");
        Dictionary<string, Tensor> tensors = [];
        change(tensors);
        SafetensorsWriter.Write(_adapter.File("adapter_model.safetensors"), tensors);
    }

    private LoadedModel Load(LoadOptions? options = null) => ModelLoader.Load(_folder.Path, null,
        (options ?? new()) with { Adapter = _adapter.Path }, cancellationToken: TestContext.Current.CancellationToken);

    private static void EachNorm(Action<string, ulong> act)
    {
        ulong seed = 10;
        foreach (string layer in (string[])["layers.0.", "layers.1."])
            foreach (string norm in (string[])["input_layernorm", "post_attention_layernorm"]) act($"model.{layer}{norm}.weight", seed++);
        act("model.norm.weight", seed);
    }

    private static void AddLora(
        Dictionary<string, Tensor> file, string module, bool isEmbedding = false, long outputs = TinyModel.VocabSize)
    {
        (Tensor a, Tensor b) = Matrices(module, isEmbedding, outputs);
        file[$"{Prefix}{module}.{(isEmbedding ? "lora_embedding_A" : "lora_A.weight")}"] = a;
        file[$"{Prefix}{module}.{(isEmbedding ? "lora_embedding_B" : "lora_B.weight")}"] = b;
    }

    /// <summary>alpha / r · B A: [outFeatures, inFeatures], or [entries, hidden] of an embedding.</summary>
    private static Tensor Product(string module, bool isEmbedding = false, long outputs = TinyModel.VocabSize)
    {
        (Tensor a, Tensor b) = Matrices(module, isEmbedding, outputs);
        return isEmbedding ? 3 * einsum("ri,or->io", a, b) : 3 * einsum("or,ri->oi", b, a);
    }

    private static (Tensor A, Tensor B) Matrices(string module, bool isEmbedding, long outputs)
    {
        using torch.Generator generator = new((ulong)module.Length);
        return isEmbedding ? (randn([2, TinyModel.VocabSize], generator: generator), randn([16, 2], generator: generator))
            : (randn([2, 16], generator: generator), randn([outputs, 2], generator: generator));
    }

    private static Tensor Table(ulong seed)
    {
        using torch.Generator generator = new(seed);
        return randn([TinyModel.VocabSize, 16], generator: generator);
    }

    private static Tensor Vector(ulong seed, long size)
    {
        using torch.Generator generator = new(seed);
        return randn([size], generator: generator);
    }
}
