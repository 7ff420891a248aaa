using Ndif.Models.Architectures;
using Ndif.Models.Config;
using Ndif.Models.Files;
using Ndif.Models.Loading;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Tests.Local;

/// <summary>
/// Adapters that are attached to traces give what they give where they are merged, whose weights tests/Models.Tests compares with PEFT's.
/// </summary>
public sealed class AttachedAdapterTests : IDisposable
{
    private static readonly int[] _prompt = [3, 7, 11, 2, 39];

    private const string Prefix = "base_model.model.";

    private readonly TempFolder _folder = new(), _adapter = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _folder.Dispose();
        _adapter.Dispose();
    }

    public static TheoryData<string, bool> Architectures => new(
        from name in (string[])["GPT2LMHeadModel", "LlamaForCausalLM", "GemmaForCausalLM", "Olmo2ForCausalLM", "PhiForCausalLM",
            "OPTForCausalLM", "FalconForCausalLM", "GPTNeoXForCausalLM"]
        from isTied in (bool[])[true, false]
        select (name, isTied));

    [Theory, MemberData(nameof(Architectures))]
    public async Task LoraOfEmbeddingAndHead(string architecture, bool isTied) =>
        await Check(architecture, isTied, "", (embed, head, file, _) =>
        {
            (file[$"{Prefix}{embed}.lora_embedding_A"], file[$"{Prefix}{embed}.lora_embedding_B"]) = (Random(2, 40), Random(16, 2));
            (file[$"{Prefix}{head}.lora_A.weight"], file[$"{Prefix}{head}.lora_B.weight"]) = (Random(2, 16), Random(40, 2));
        });

    [Theory, MemberData(nameof(Architectures))]
    public async Task TensorOfTheEmbedding(string architecture, bool isTied) =>
        await Check(architecture, isTied, "", (embed, _, file, _) => file[$"{Prefix}{embed}.weight"] = Random(40, 16));

    [Theory, MemberData(nameof(Architectures))]
    public async Task BaseLayerAndLoraOfTheHead(string architecture, bool isTied) =>
        await Check(architecture, isTied, "", (_, head, file, _) =>
        {
            file[$"{Prefix}{head}.base_layer.weight"] = Random(40, 16);
            (file[$"{Prefix}{head}.lora_A.weight"], file[$"{Prefix}{head}.lora_B.weight"]) = (Random(2, 16), Random(40, 2));
        });

    [Theory, MemberData(nameof(Architectures))]
    public async Task EachNorm_EachBias_AndModulesToSave(string architecture, bool isTied) =>
        await Check(architecture, isTied, """, "bias": "all", "modules_to_save": ["lm_head", "embed_out"]""", (_, head, file, model) =>
        {
            foreach (var (path, parameter) in WeightBinding.Parameters(model))
                if (path.EndsWith(".bias", StringComparison.Ordinal) || path.Contains("norm", StringComparison.Ordinal)
                    || path.Contains("ln_", StringComparison.Ordinal) || path.StartsWith(head, StringComparison.Ordinal))
                    file[Prefix + path] = Random(parameter.Shape);
            string config = File.ReadAllText(_adapter.File("adapter_config.json")); // the name of the head alone
            _adapter.Write("adapter_config.json", config.Replace(head == "lm_head" ? ", \"embed_out\"" : "\"lm_head\", ", "",
                StringComparison.Ordinal));
        });

    [Fact]
    public void WhatAnEditCannotReplace_IsRefused_WithTheWayOut()
    {
        TinyModel.Write(_folder, TinyModel.LikeLlama("MixtralForCausalLM", kvHeads: 2, layers: 2));
        using (LoadedModel model = TinyModel.Load(_folder.Path))
        {
            (string path, Models.Parameter parameter) =
                WeightBinding.Parameters(model.Root).First(p => p.Key.EndsWith("down_proj", StringComparison.Ordinal));
            WriteAdapter("", file => file[Prefix + path] = Random(parameter.Shape));
        }
        NdifException error = Assert.ThrowsAny<NdifException>(() => new LanguageModel(_folder.Path).WithAdapter(_adapter.Path));
        Assert.Contains("which an attached adapter cannot", error.Message, StringComparison.Ordinal);
        Assert.Contains("adapter: ...", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{ "r": 8, "lora_alpha": 8 }""", "[4, 16] for `lm_head`; the rank 8")]
    [InlineData("""{ "r": 4, "rank_pattern": { "lm_head": 2 } }""", "[4, 16] for `lm_head`; the rank 2")]
    [InlineData("""{ }""", "[4, 16] for `lm_head`; the rank 8")]
    public void AnotherRankThanTheConfigs_IsRefused(string config, string why)
    {
        TinyModel.Write(_folder, TinyModel.GPT2());
        AdapterFiles.Write(_adapter, _head, rank: 4, _ => (40, 16), config);
        NdifException error = Assert.ThrowsAny<NdifException>(() => new LanguageModel(_folder.Path).WithAdapter(_adapter.Path));
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.Contains("ask for [", error.Message, StringComparison.Ordinal);
    }

    private static readonly string[] _head = ["lm_head"];

    [Fact]
    public void ResizedVocabulary_IsRefused_WithTheWayOut()
    {
        TinyModel.Write(_folder, TinyModel.GPT2());
        WriteAdapter("", file => file[$"{Prefix}lm_head.weight"] = Random(45, 16));
        NdifException error = Assert.ThrowsAny<NdifException>(() => new LanguageModel(_folder.Path).WithAdapter(_adapter.Path));
        Assert.Contains("with shape [45, 16]; the model's is [40, 16]", error.Message, StringComparison.Ordinal);
        Assert.Contains("resize_token_embeddings", error.Message, StringComparison.Ordinal);
    }

    /// <summary>Compares the logits of an attached adapter with those of the merged one, and both with the model's own.</summary>
    private async Task Check(string architecture, bool isTied, string more,
        Action<string, string, Dictionary<string, Tensor>, Models.PreTrainedModel> adapter)
    {
        string config = TinyModel.LikeLlama(architecture, kvHeads: 4, layers: 2).Trim()[..^1] + $$"""
            , "n_embd": 16, "n_layer": 2, "n_head": 4, "n_inner": 24, "n_positions": 64, "ffn_dim": 24, "word_embed_proj_dim": 16,
              "tie_word_embeddings": {{(isTied ? "true" : "false")}} }
            """;
        TinyModel.Write(_folder, config);
        Models.PreTrainedModel tree = ArchitectureCatalog.Build(ConfigReader.Open(_folder.File("config.json")));
        WriteAdapter(more, file => adapter(tree.Names.Embed, tree.Names.LmHead, file, tree));
        LanguageModel llm = new(_folder.Path), merged = new(_folder.Path, adapter: _adapter.Path),
            attached = llm.WithAdapter(_adapter.Path);
        TensorData[] logits = [await LogitsAsync(llm), await LogitsAsync(merged), await LogitsAsync(attached)];
        Assert.True(logits[1].MaxAbsDifference(logits[0]) > 1e-2);
        Assert.True(logits[1].MaxAbsDifference(logits[2]) < 1e-4, $"{logits[1].MaxAbsDifference(logits[2])}");

        static async Task<TensorData> LogitsAsync(LanguageModel model) =>
            (await model.TraceAsync(_prompt, _ => model.Logits.Save(), cancellationToken: Cancel)).Tensor;
    }

    private void WriteAdapter(string more, Action<Dictionary<string, Tensor>> change)
    {
        using var scope = NewDisposeScope();
        _seed = 100; // other numbers than those of the model
        _adapter.Write("adapter_config.json", $$"""{ "peft_type": "LORA", "r": 2, "lora_alpha": 1 {{more}} }""");
        Dictionary<string, Tensor> tensors = [];
        change(tensors);
        SafetensorsWriter.Write(_adapter.File("adapter_model.safetensors"), tensors);
    }

    private ulong _seed;

    private Tensor Random(params long[] shape)
    {
        using torch.Generator generator = new(_seed++);
        return randn(shape, generator: generator) * 0.3;
    }
}
