using Ndif.Models;
using Ndif.Models.Architectures;
using Ndif.Models.Config;
using Ndif.Models.Files;
using Ndif.Models.Layers;
using Ndif.Models.Loading;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>A model of one family of architectures with random weights in bfloat16, some 100 to 300 million of them.</summary>
/// <param name="Name">The family.</param>
/// <param name="Architecture">The class of Hugging Face's transformers.</param>
/// <param name="Options">The keys of config.json beside the sizes that all have.</param>
internal sealed record FamilyCheckpoint(string Name, string Architecture, string Options)
{
    public static IReadOnlyList<FamilyCheckpoint> All { get; } =
    [
        new("llama", "LlamaForCausalLM", ""),
        new("gpt2", "GPT2LMHeadModel", """, "n_embd": 1024, "n_layer": 12, "n_head": 16, "n_positions": 512 """),
        new("gemma3", "Gemma3ForCausalLM", """, "sliding_window": 256, "head_dim": 64, "query_pre_attn_scalar": 64 """),
        new("olmo2", "Olmo2ForCausalLM", ""),
        new("phi", "PhiForCausalLM", """, "partial_rotary_factor": 0.5 """),
        new("bloom", "BloomForCausalLM", """, "n_layer": 12, "n_head": 16 """),
        new("qwen3_moe", "Qwen3MoeForCausalLM", Experts),
        new("gpt_oss", "GptOssForCausalLM", Experts + """, "head_dim": 64, "sliding_window": 128, "num_local_experts": 16 """),
        new("deepseek_v3", "DeepseekV3ForCausalLM", Experts + """
            , "num_key_value_heads": 16, "q_lora_rank": 384, "kv_lora_rank": 256, "qk_rope_head_dim": 32, "qk_nope_head_dim": 64,
              "v_head_dim": 64, "n_routed_experts": 16, "n_shared_experts": 1, "n_group": 4, "topk_group": 2, "first_k_dense_replace": 1
            """),
        new("llama4", "Llama4ForCausalLM", """
            , "head_dim": 64, "attention_chunk_size": 256, "num_local_experts": 16, "num_experts_per_tok": 1, "intermediate_size": 704,
              "intermediate_size_mlp": 2816, "interleave_moe_layer_step": 2
            """),
        new("mamba", "MambaForCausalLM", """, "num_hidden_layers": 24, "state_size": 16 """),
        new("mamba2", "Mamba2ForCausalLM", """
            , "num_hidden_layers": 24, "state_size": 64, "num_heads": 32, "head_dim": 64, "n_groups": 1
            """),
        new("qwen3_next", "Qwen3NextForCausalLM", Experts + """
            , "head_dim": 64, "linear_num_key_heads": 8, "linear_num_value_heads": 16, "linear_key_head_dim": 64,
              "linear_value_head_dim": 64, "shared_expert_intermediate_size": 704
            """),
        new("falcon_h1", "FalconH1ForCausalLM", """
            , "head_dim": 64, "mamba_d_ssm": 1024, "mamba_n_heads": 16, "mamba_d_head": 64, "mamba_d_state": 64, "mamba_n_groups": 1
            """),
        new("rwkv", "RwkvForCausalLM", ""),
        new("recurrent_gemma", "RecurrentGemmaForCausalLM", """, "lru_width": 1024, "attention_window_size": 256 """),
        new("t5", "T5ForConditionalGeneration", """
            , "d_model": 1024, "d_kv": 64, "d_ff": 2816, "num_layers": 2, "num_decoder_layers": 12, "num_heads": 16,
              "feed_forward_proj": "gated-gelu"
            """),
    ];

    private const string Experts = """
        , "num_experts": 16, "num_experts_per_tok": 4, "moe_intermediate_size": 704, "decoder_sparse_step": 1
        """;

    private string Config => $$"""
        { "architectures": ["{{Architecture}}"], "vocab_size": 16384, "hidden_size": 1024, "num_hidden_layers": 12,
          "intermediate_size": 2816, "num_attention_heads": 16, "num_key_value_heads": 4, "max_position_embeddings": 512,
          "tie_word_embeddings": true, "torch_dtype": "bfloat16", "eos_token_id": 0, "pad_token_id": 0 {{Options}} }
        """;

    /// <summary>The folder, which is written once.</summary>
    public string Folder() => CheckpointCache.GetOrWrite($"family-{Name}-1", Write);

    /// <summary>
    /// The bytes of weights that a pass over one token reads: no table of which it has one row, and the experts that one token has.
    /// </summary>
    public static double BytesPerToken(LoadedModel model)
    {
        double chosen = model.Config.Has("num_experts_per_tok") ? model.Config.Integer("num_experts_per_tok") : 0;
        string encoder = model.Root.Names.Encoder;
        HashSet<Parameter> products = [.. model.Modules.Where(module => module is not Embedding).SelectMany(module => module.Parameters)];
        Dictionary<Parameter, double> shares = [];
        foreach (SiteModule module in model.Modules)
        {
            int experts = module.Children.Count(child => child.IsVirtual);
            bool isOfEncoder = encoder.Length > 0 && $"{module.Path}.".StartsWith($"{encoder}.", StringComparison.Ordinal);
            foreach (Parameter parameter in module.Parameters)
                shares.TryAdd(parameter, isOfEncoder || !products.Contains(parameter) ? 0 : experts > 0 ? chosen / experts : 1);
        }
        return shares.Sum(entry => entry.Value * entry.Key.Bytes);
    }

    private void Write(string folder)
    {
        string config = Path.Combine(folder, "config.json");
        File.WriteAllText(config, Config);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using var random = new Generator(0);
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), ArchitectureCatalog.Build(ConfigReader.Open(config)).Modules
            .SelectMany(module => module.Parameters.Select(parameter => (Path: module.PathOf(parameter), Parameter: parameter)))
            .DistinctBy(entry => entry.Parameter).Select(entry => KeyValuePair.Create(entry.Path,
                (randn(entry.Parameter.Shape, generator: random) * 0.02).to(ScalarType.BFloat16))));
    }
}
