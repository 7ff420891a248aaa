using Ndif.Models.Files;
using Ndif.Models.Files.Gguf;
using Ndif.Models.Loading;
using Ndif.Tokenizers;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Tests.Files.Gguf;

/// <summary>
/// A model converted to GGUF as llama.cpp's convert_hf_to_gguf.py converts it (names, settings, the order of rows, norms plus one) gives
/// the
/// logits of the model.
/// </summary>
public sealed class GgufModelTests : IDisposable
{
    private const string Settings = """
        , "rms_norm_eps": 1e-5, "layer_norm_eps": 1e-5, "norm_epsilon": 1e-5, "rope_theta": 10000, "head_dim": 4, "num_experts": 4,
          "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8
        """;

    private readonly TempFolder _folder = new();

    public void Dispose()
    {
        _folder.Dispose();
        Assert.Equal(0, FileMapping.LiveCount(_folder.Path));
    }

    /// <summary>The architecture in GGUF, Hugging Face's class, settings of config.json, and metadata.</summary>
    public static TheoryData<string, string, string, string> Architectures => new()
    {
        { "llama", "LlamaForCausalLM", "", "" },
        { "llama", "LlamaForCausalLM", """, "tie_word_embeddings": true, "rope_scaling": { "rope_type": "linear", "factor": 4 }""",
            "rope.scaling.type=linear rope.scaling.factor=4.0" },
        { "llama", "MixtralForCausalLM", "", "expert_count=4 expert_used_count=2" },
        { "qwen2", "Qwen2ForCausalLM", "", "" },
        { "qwen3", "Qwen3ForCausalLM", "", "" },
        { "qwen2moe", "Qwen2MoeForCausalLM", "",
            "expert_count=4 expert_used_count=2 expert_feed_forward_length=8 expert_shared_feed_forward_length=8" },
        { "qwen3moe", "Qwen3MoeForCausalLM", """, "norm_topk_prob": true""",
            "expert_count=4 expert_used_count=2 expert_feed_forward_length=8" },
        { "gemma", "GemmaForCausalLM", "", "" },
        { "gemma2", "Gemma2ForCausalLM", """, "sliding_window": 3, "query_pre_attn_scalar": 4, "attn_logit_softcapping": 20.0""",
            "attention.sliding_window=3 attn_logit_softcapping=20.0 final_logit_softcapping=30.0" },
        { "gemma3", "Gemma3ForCausalLM", """, "sliding_window": 3, "query_pre_attn_scalar": 4""", "attention.sliding_window=3" },
        { "phi3", "Phi3ForCausalLM", """, "sliding_window": 3""", "attention.sliding_window=3 rope.dimension_count=4" },
        { "phi2", "PhiForCausalLM", """, "num_key_value_heads": 4, "partial_rotary_factor": 0.5""",
            "attention.head_count_kv=4 rope.dimension_count=2" },
        { "starcoder2", "Starcoder2ForCausalLM", """, "sliding_window": null""", "" },
        { "olmo2", "Olmo2ForCausalLM", "", "" },
        { "stablelm", "StableLmForCausalLM", """, "partial_rotary_factor": 0.5""", "rope.dimension_count=2" },
        { "gptneox", "GPTNeoXForCausalLM", """, "num_key_value_heads": 4, "rotary_pct": 0.5""",
            "attention.head_count_kv=4 rope.dimension_count=2" },
        { "bloom", "BloomForCausalLM", """, "n_layer": 2, "n_head": 4, "layer_norm_epsilon": 1e-5, "num_key_value_heads": 4""",
            "attention.head_count_kv=4 feed_forward_length=64" },
    };

    [Theory]
    [MemberData(nameof(Architectures))]
    public void ConvertedModel_GivesTheLogitsOfTheModel(string architecture, string className, string config, string metadata)
    {
        TinyModel.Write(_folder, TinyModel.Llama(more: Settings + config).Replace("LlamaForCausalLM", className, StringComparison.Ordinal)
            .Replace("\"model_type\": \"llama\",", "", StringComparison.Ordinal));
        using LoadedModel model = TinyModel.Load(_folder.Path);
        string file = _folder.File("model.gguf");
        File.WriteAllBytes(file, Convert(model, architecture, metadata));
        using LoadedModel converted = TinyModel.Load(file);
        Assert.Equal(className, converted.Root.ClassName);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor ids = tensor(new long[] { 3, 17, 8, 30, 2, 11, 25, 9 }).unsqueeze(0); // [1, seq]
        Tensor difference = (Logits(converted, ids) - Logits(model, ids)).abs().max();
        Assert.InRange(difference.item<float>(), 0, 1e-5);
    }

    [Fact]
    public void FolderWithOneFile_IsThatFile_AndWithSeveralAsksForOne()
    {
        File.WriteAllBytes(_folder.File("a.gguf"), [1]);
        Assert.Equal(_folder.File("a.gguf"), ModelStore.Find(_folder.Path).Path);
        File.WriteAllBytes(_folder.File("b.gguf"), [1]);
        Assert.Contains("`a.gguf`, `b.gguf`", Assert.Throws<CheckpointException>(() => ModelStore.Find(_folder.Path)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Parts_AreOneModel()
    {
        TinyModel.Write(_folder, TinyModel.Llama(more: Settings));
        using LoadedModel model = TinyModel.Load(_folder.Path);
        byte[] whole = Convert(model, "llama", "", part: 0), rest = Convert(model, "llama", "", part: 1);
        File.WriteAllBytes(_folder.File("m-00001-of-00002.gguf"), whole);
        Assert.Contains("m-00002-of-00002.gguf is missing",
            Assert.Throws<CheckpointException>(() => TinyModel.Load(_folder.File("m-00001-of-00002.gguf"))).Message,
                StringComparison.Ordinal);
        File.WriteAllBytes(_folder.File("m-00002-of-00002.gguf"), rest);
        using LoadedModel joined = TinyModel.Load(_folder.File("m-00001-of-00002.gguf"));
        Assert.Equal(model.Description.Parameters, joined.Description.Parameters);
    }

    [Theory]
    [InlineData("gguf_llama", "model-Q4_0.gguf")]
    [InlineData("gguf_gpt2", "model-Q8_0.gguf")]
    public void Tokenizer_IsThatOfTokenizerJson(string form, string file)
    {
        string? folder = SharedFolder.Find("golden2", "forms", form);
        Assert.SkipWhen(folder is null, SharedFolder.MissingReason);
        HuggingFaceTokenizer expected = HuggingFaceTokenizer.FromFolder(folder);
        HuggingFaceTokenizer actual = HuggingFaceTokenizer.FromFiles(ModelLoader.Describe(Path.Combine(folder, file)).Files
            .ToDictionary(entry => entry.Key, entry => entry.Value.Memory));
        foreach (string text in (string[])["The thin heron stands in the water.", " two  spaces", "größe 12345", "<s>in</s>", "日本語",
            "", "for id in it:\n  on", "a<|endoftext|>b"])
        {
            IReadOnlyList<int> ids = expected.Encode(text);
            Assert.Equal(ids, actual.Encode(text));
            Assert.Equal(expected.Decode(ids), actual.Decode(ids));
        }
        Assert.Equal((expected.BosId, expected.EosId), (actual.BosId, actual.EosId));
    }

    private static Tensor Logits(LoadedModel model, Tensor ids) =>
        (Tensor)model.Root.Call(new(ids, ones_like(ids), arange(ids.size(1)).unsqueeze(0), null))["logits"]!; // [1, seq, vocab]

    /// <param name="part">0 or 1 for every second tensor; null for all.</param>
    private static byte[] Convert(LoadedModel model, string architecture, string metadata, int? part = null)
    {
        Dictionary<string, object> values = new()
        {
            ["general.architecture"] = architecture, ["embedding_length"] = 16, ["block_count"] = 2, ["attention.head_count"] = 4,
            ["attention.head_count_kv"] = 2, ["feed_forward_length"] = 24, ["context_length"] = 64, ["attention.key_length"] = 4,
            ["attention.layer_norm_rms_epsilon"] = 1e-5f, ["attention.layer_norm_epsilon"] = 1e-5f, ["rope.freq_base"] = 10000f,
        };
        foreach (string[] entry in metadata.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(entry => entry.Split('=')))
            values[entry[0]] = int.TryParse(entry[1], out int whole) ? whole
                : float.TryParse(entry[1], System.Globalization.CultureInfo.InvariantCulture, out float real) ? real : entry[1];
        GgufWriter writer = new();
        foreach (var (key, value) in values) writer.Set(key.StartsWith("general.", StringComparison.Ordinal) ? key
            : $"{architecture}.{key}", value);
        GgufArchitecture names = GgufArchitecture.Of(new GgufMetadata(
            new Dictionary<string, object> { ["general.architecture"] = architecture,
                ["llama.expert_count"] = model.Root.ClassName.StartsWith("Mixtral", StringComparison.Ordinal) ? 4L : 0L }, ""));
        long heads = 4, kvHeads = values["attention.head_count_kv"] is int kv ? kv : 2;
        int index = 0;
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        HashSet<Parameter> seen = [];
        foreach (var (path, parameter) in WeightBinding.Parameters(model.Root))
            if (seen.Add(parameter))
                foreach (var (name, tensor) in ConvertTensor(names, path, parameter.Value, heads, kvHeads))
                    if (part is null || index++ % 2 == part) writer.Add(name, tensor);
        return writer.ToBytes();
    }

    private static IEnumerable<(string, Tensor)> ConvertTensor(GgufArchitecture names, string path, Tensor weight, long heads, long kvHeads)
    {
        string block = "", suffix = path[(path.LastIndexOf('.') + 1)..], module = path[..path.LastIndexOf('.')];
        if (path.StartsWith(names.Layers + ".", StringComparison.Ordinal))
        {
            string[] parts = path[(names.Layers.Length + 1)..].Split('.', 2);
            (block, module) = ($"blk.{parts[0]}.", parts[1]);
            if (parts[1] == "mlp.experts.gate_up_proj")
                return [($"{block}ffn_gate_exps.weight", weight.chunk(2, 1)[0]), ($"{block}ffn_up_exps.weight", weight.chunk(2, 1)[1])];
            if (parts[1] == "mlp.experts.down_proj") return [($"{block}ffn_down_exps.weight", weight)];
            module = module[..module.LastIndexOf('.')];
        }
        GgufName name = names.Names.Single(n => n.HuggingFace.Replace("block_sparse_moe", "mlp", StringComparison.Ordinal) == module);
        long count = name.Rows == GgufRowOrder.InterleavedKeyHeads ? kvHeads : heads, rows = weight.size(0);
        long[] shape = weight.shape;
        Tensor converted = name.Rows switch
        {
            GgufRowOrder.Same => weight,
            // [heads, headDim, 2] of [heads, 2, headDim]: _reverse_hf_permute
            GgufRowOrder.InterleavedQueryHeads or GgufRowOrder.InterleavedKeyHeads =>
                weight.view([count, 2, rows / count / 2, .. shape[1..]]).transpose(1, 2).reshape(shape),
            // [3, heads, headDim] of [heads, 3, headDim]
            _ => weight.view([count, 3, rows / count / 3, .. shape[1..]]).transpose(0, 1).reshape(shape),
        };
        if (name.Gguf == "ffn_gate_inp_shexp") converted = converted.view(-1);
        if (names.AddsOneToNorms && module.EndsWith("norm", StringComparison.Ordinal)) converted = converted + 1;
        return [($"{block}{name.Gguf}.{suffix}", converted)];
    }
}
