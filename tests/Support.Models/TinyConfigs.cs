using System.Text.Json;

namespace Ndif.Tests.Support.Models;

/// <summary>
/// A config of every architecture, and of every option that changes what an architecture computes. Sizes are a few dozen.
/// </summary>
public static class TinyConfigs
{
    /// <summary>config.json by name, as a function of a shape: 1 or 2.</summary>
    private static readonly Dictionary<string, Func<int, string>> _all = new()
    {
        ["gpt2"] = shape => TinyModel.GPT2(heads: shape * 2, layers: shape),
        ["gpt2 scaled by layer"] = shape => TinyModel.GPT2(heads: 2, layers: shape + 1, more: """
            , "scale_attn_by_inverse_layer_idx": true, "reorder_and_upcast_attn": true, "tie_word_embeddings": false, "n_inner": 20
            """),
        ["gpt_neo"] = shape => Of("GPTNeoForCausalLM", $$"""
            "max_position_embeddings": 64, "hidden_size": 16, "num_layers": {{shape * 2}}, "num_heads": {{shape}}, "window_size": 3,
            "attention_types": [[["global", "local"], {{shape}}]]
            """),
        ["gptj"] = shape => Of("GPTJForCausalLM", $$"""
            "n_positions": 64, "n_embd": 16, "n_layer": {{shape}}, "n_head": 2, "rotary_dim": {{shape * 4}}, "tie_word_embeddings": {{Json(shape == 2)}}
            """),
        ["codegen"] = shape => Of("CodeGenForCausalLM", $$"""
            "n_positions": 64, "n_embd": 32, "n_layer": {{shape}}, "n_head": {{shape * 4}}, "rotary_dim": {{8 / shape}}
            """),
        ["gpt_bigcode"] = shape => Of("GPTBigCodeForCausalLM", $$"""
            "n_positions": 64, "n_embd": 16, "n_layer": {{shape}}, "n_head": {{shape * 2}}
            """),
        ["gpt_bigcode key for each head"] = shape => Of("GPTBigCodeForCausalLM", $$"""
            "n_positions": 64, "n_embd": 32, "n_layer": {{shape}}, "n_head": 2, "multi_query": false, "scale_attn_weights": false
            """),
        ["mpt"] = shape => Of("MptForCausalLM", $$"""
            "d_model": 24, "n_layers": {{shape}}, "n_heads": {{shape * 3}}, "max_seq_len": 64
            """),
        ["mpt clipped"] = shape => Of("MptForCausalLM", $$"""
            "d_model": 16, "n_layers": {{shape}}, "n_heads": 4, "max_seq_len": 4, "attn_config": { "clip_qkv": 0.4, "softmax_scale": 0.3 },
            "tie_word_embeddings": false
            """),
        ["xglm"] = shape => Of("XGLMForCausalLM", $$"""
            "max_position_embeddings": 64, "d_model": 16, "ffn_dim": 24, "num_layers": {{shape}}, "attention_heads": {{shape * 2}}
            """),
        ["xglm not scaled"] = shape => Of("XGLMForCausalLM", $$"""
            "max_position_embeddings": 4, "d_model": 9, "ffn_dim": 24, "num_layers": {{shape}}, "attention_heads": 3, "scale_embedding": false,
            "activation_function": "relu", "tie_word_embeddings": false
            """),
        ["biogpt"] = shape => Of("BioGptForCausalLM", $$"""
            "max_position_embeddings": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": {{shape}},
            "num_attention_heads": {{shape * 2}}
            """),
        ["t5"] = shape => Of("T5ForConditionalGeneration", T5(shape, """
            "feed_forward_proj": "relu", "relative_attention_num_buckets": 8, "relative_attention_max_distance": 12
            """)),
        ["t5 gated"] = shape => Of("T5ForConditionalGeneration", T5(shape, """
            "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false
            """)),
        ["mt5"] = shape => Of("MT5ForConditionalGeneration", T5(shape, """
            "relative_attention_num_buckets": 5, "relative_attention_max_distance": 3, "tie_word_embeddings": true
            """)),
        ["bart"] = shape => Of("BartForConditionalGeneration", $$"""
            "max_position_embeddings": 64, "d_model": 16, "encoder_layers": {{3 - shape}}, "decoder_layers": {{shape}},
            "encoder_attention_heads": 4, "decoder_attention_heads": {{shape * 2}}, "encoder_ffn_dim": 20, "decoder_ffn_dim": 24,
            "scale_embedding": {{Json(shape == 2)}}, "decoder_start_token_id": 3
            """),
        ["gpt_neox"] = shape => Of("GPTNeoXForCausalLM", NeoX(shape, "")),
        ["gpt_neox sequential"] = shape => Of("GPTNeoXForCausalLM", NeoX(shape, """
            , "use_parallel_residual": false, "attention_bias": false, "rotary_pct": 0.5, "tie_word_embeddings": true
            """)),
        ["bloom"] = shape => Of("BloomForCausalLM", $$"""
            "hidden_size": 24, "n_layer": {{shape}}, "n_head": {{shape * 3}}
            """),
        ["bloom norm residual"] = shape => Of("BloomForCausalLM", $$"""
            "n_embed": 16, "num_hidden_layers": {{shape}}, "num_attention_heads": 4, "apply_residual_connection_post_layernorm": true
            """),
        ["opt"] = shape => Of("OPTForCausalLM", Opt(shape, "")),
        ["opt norm after"] = shape => Of("OPTForCausalLM", Opt(shape, """
            , "do_layer_norm_before": false, "word_embed_proj_dim": 8
            """)),
        ["opt bare"] = shape => Of("OPTForCausalLM", Opt(shape, """
            , "layer_norm_elementwise_affine": false, "enable_bias": false, "activation_function": "gelu", "tie_word_embeddings": false
            """)),
        ["falcon"] = shape => Of("FalconForCausalLM", Falcon(shape, "")),
        ["falcon grouped"] = shape => Of("FalconForCausalLM", Falcon(shape, $$"""
            , "new_decoder_architecture": true, "num_kv_heads": {{shape}}, "bias": true
            """)),
        ["falcon one norm"] = shape => Of("FalconForCausalLM", Falcon(shape, """
            , "new_decoder_architecture": true, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1, "tie_word_embeddings": false
            """)),
        ["falcon alibi"] = shape => Of("FalconForCausalLM", Falcon(shape, """
            , "alibi": true, "multi_query": false, "parallel_attn": false, "bias": true
            """)),
        ["falcon sequential"] = shape => Of("FalconForCausalLM", Falcon(shape, """
            , "parallel_attn": false, "rope_scaling": { "type": "linear", "factor": 2.0 }
            """)),
        ["phi"] = shape => Of("PhiForCausalLM", LlamaStyle(shape, """, "partial_rotary_factor": 0.5 """)),
        ["phi qk norm"] =
        shape => Of("PhiForCausalLM", LlamaStyle(shape, """, "qk_layernorm": true, "head_dim": 8, "hidden_act": "gelu" """)),
        ["gemma"] = shape => Of("GemmaForCausalLM", LlamaStyle(shape, """, "head_dim": 8, "attention_bias": true """)),
        ["gemma2"] = shape => Of("Gemma2ForCausalLM", LlamaStyle(shape, """
            , "head_dim": 8, "sliding_window": 3, "query_pre_attn_scalar": 20, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0
            """)),
        ["gemma3"] = shape => Of("Gemma3ForCausalLM", LlamaStyle(shape, """
            , "head_dim": 4, "sliding_window": 3, "sliding_window_pattern": 2, "query_pre_attn_scalar": 9, "rope_theta": 5000.0,
              "rope_local_base_freq": 50.0, "rope_scaling": { "rope_type": "linear", "factor": 8.0 }
            """)),
        ["gemma3n"] = shape => Of("Gemma3nForCausalLM", LlamaStyle(shape, SharedKeys(shape) + $$"""
            , "head_dim": 4, "altup_num_inputs": 3, "altup_active_idx": 1, "laurel_rank": 3, "activation_sparsity_pattern": [0.5, 0.0{{
            (shape == 1 ? "" : ", 0.3, 0.0")}}], "final_logit_softcapping": 3.0
            """)),
        ["gemma4"] = shape => Of("Gemma4ForCausalLM", LlamaStyle(shape, SharedKeys(shape) + """
            , "head_dim": 4, "global_head_dim": 8, "use_double_wide_mlp": true, "attention_bias": true, "final_logit_softcapping": 3.0
            """)),
        ["gemma4 moe"] = shape => Of("Gemma4ForCausalLM", LlamaStyle(shape, Experts + """
            , "head_dim": 4, "global_head_dim": 8, "sliding_window": 3, "hidden_size_per_layer_input": 0, "attention_k_eq_v": true,
              "num_global_key_value_heads": 1, "enable_moe_block": true, "top_k_experts": 2
            """)),
        ["llama"] = shape => TinyModel.Llama(heads: 4, kvHeads: shape, layers: shape),
        ["llama wide heads"] = shape => TinyModel.Llama(heads: 4, kvHeads: shape, layers: shape, more: """
            , "head_dim": 6, "attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true, "hidden_act": "gelu_pytorch_tanh"
            """),
        ["llama linear"] = shape => Rope(shape, """ "type": "linear", "factor": 3.0 """),
        ["llama llama3"] = shape => Rope(shape, """
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16
            """),
        ["llama yarn"] =
        shape => Rope(shape, """ "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 2.0 """),
        ["phi3 longrope"] = shape => LikeLlama("Phi3ForCausalLM", shape, """
            , "head_dim": 8, "original_max_position_embeddings": 64, "partial_rotary_factor": 0.5,
              "rope_scaling": { "type": "su", "short_factor": [1.0, 1.5], "long_factor": [2.0, 4.0] }
            """),
        ["qwen2 sliding"] = shape => LikeLlama("Qwen2ForCausalLM", shape, """
            , "use_sliding_window": true, "sliding_window": 3, "max_window_layers": 1
            """),
        ["qwen2 layer types"] = shape => LikeLlama("Qwen2ForCausalLM", shape, $$"""
            , "use_sliding_window": true, "sliding_window": 3, "layer_types": [{{(shape == 1 ? "" : "\"full_attention\", ")}}"sliding_attention"]
            """),
        ["stablelm parallel"] = shape => LikeLlama("StableLmForCausalLM", shape, """
            , "qk_layernorm": true, "use_parallel_residual": true, "use_qkv_bias": true, "head_dim": 4, "partial_rotary_factor": 0.5
            """),
        ["qwen2 moe dense layers"] = shape => LikeLlama("Qwen2MoeForCausalLM", shape, Experts + """
            , "decoder_sparse_step": 2, "norm_topk_prob": true
            """),
        ["qwen3 moe dense layers"] = shape => LikeLlama("Qwen3MoeForCausalLM", shape, Experts + """
            , "mlp_only_layers": [0], "head_dim": 4, "norm_topk_prob": true, "use_sliding_window": true, "sliding_window": 4
            """),
        ["olmo clipped"] = shape => LikeLlama("OlmoForCausalLM", shape, """, "clip_qkv": 0.4 """),
        ["cohere qk norm"] = shape => LikeLlama("CohereForCausalLM", shape, """, "use_qk_norm": true """),
        ["exaone4 full"] = shape => LikeLlama("Exaone4ForCausalLM", shape, """, "sliding_window": null """),
        ["hunyuan alpha"] = shape => LikeLlama("HunYuanDenseV1ForCausalLM", shape, """
            , "head_dim": 8, "rope_scaling": { "type": "dynamic", "alpha": 1000.0, "factor": 1.0 }
            """),
        ["ministral3 scaled"] = shape => LikeLlama("Ministral3ForCausalLM", shape, """
            , "head_dim": 8, "rope_parameters": { "rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 4,
              "llama_4_scaling_beta": 0.1, "rope_theta": 10000.0 }
            """),
        ["deepseek_v2"] = shape => LikeLlama("DeepseekV2ForCausalLM", shape, Latent + """
            , "q_lora_rank": null, "topk_method": "group_limited_greedy"
            """),
        ["deepseek_v3"] = shape => LikeLlama("DeepseekV3ForCausalLM", shape, Latent + """, "first_k_dense_replace": 1 """),
        ["glm4_moe_lite"] = shape => LikeLlama("Glm4MoeLiteForCausalLM", shape, Latent),
        ["mistral4"] = shape => LikeLlama("Mistral4ForCausalLM", shape, Latent + """
            , "rope_interleave": false, "rope_parameters": { "rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 4,
              "llama_4_scaling_beta": 0.1, "rope_theta": 10000.0 }
            """),
        ["llama4"] = shape => LikeLlama("Llama4ForCausalLM", shape, """
            , "head_dim": 4, "attention_chunk_size": 3, "floor_scale": 2, "no_rope_layers": [1, 0], "interleave_moe_layer_step": 2,
              "intermediate_size_mlp": 20, "num_local_experts": 3, "num_experts_per_tok": 2
            """),
        ["mamba"] = shape => Of("MambaForCausalLM", StateSpace(shape)),
        ["falcon_mamba"] = shape => Of("FalconMambaForCausalLM", StateSpace(shape)),
        ["mamba2"] = shape => Of("Mamba2ForCausalLM", StateSpace(shape) + $$"""
            , "num_heads": 4, "head_dim": 8, "n_groups": {{shape}}, "time_step_limit": [0.0, 2.0]
            """),
        ["rwkv"] = shape => Of("RwkvForCausalLM", $$"""
            "hidden_size": 16, "num_hidden_layers": {{shape}}, "intermediate_size": 24
            """),
        ["rwkv rescaled"] = shape => Of("RwkvForCausalLM", $$"""
            "hidden_size": 16, "num_hidden_layers": {{shape + 1}}, "attention_hidden_size": 12, "rescale_every": 1
            """),
        ["recurrent_gemma"] = shape => Of("RecurrentGemmaForCausalLM", $$"""
            "hidden_size": 16, "num_hidden_layers": {{shape + 1}}, "intermediate_size": 24, "num_attention_heads": 4,
            "num_key_value_heads": {{shape}}, "lru_width": 24, "attention_window_size": 3, "block_types": ["recurrent", "attention"]
            """),
        ["bamba"] = shape => LikeLlama("BambaForCausalLM", shape, Mamba2 + """, "attn_layer_indices": [1] """),
        ["falcon_h1"] = shape => LikeLlama("FalconH1ForCausalLM", shape, Mamba2 + """
            , "mamba_d_ssm": 24, "ssm_multipliers": [0.9, 0.8, 1.1, 0.7, 1.2], "ssm_in_multiplier": 1.2, "key_multiplier": 0.7,
              "mamba_rms_norm": true
            """),
        ["granitemoehybrid"] = shape => LikeLlama("GraniteMoeHybridForCausalLM", shape, Mamba2 + $$"""
            , "layer_types": [{{(shape == 1 ? "" : "\"attention\", ")}}"mamba"], "shared_intermediate_size": 12, "num_local_experts": 3,
              "position_embedding_type": "rope"
            """),
        ["jamba"] = shape => LikeLlama("JambaForCausalLM", shape, """
            , "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 4, "num_experts": 3, "expert_layer_offset": 0
            """),
        ["nemotron_h"] = shape => LikeLlama("NemotronHForCausalLM", shape, $$"""
            , "hybrid_override_pattern": "{{(shape == 1 ? "M*" : "M-*EM")}}", "mamba_num_heads": 4, "mamba_head_dim": 4, "ssm_state_size": 4,
              "n_groups": 2, "head_dim": 4, "n_routed_experts": 3, "moe_intermediate_size": 8, "moe_shared_expert_intermediate_size": 12,
              "moe_latent_size": 12
            """),
        ["lfm2"] = shape => LikeLlama("Lfm2ForCausalLM", shape, $$"""
            , "layer_types": [{{(shape == 1 ? "" : "\"full_attention\", ")}}"conv"], "block_multiple_of": 8
            """),
        ["lfm2_moe"] = shape => LikeLlama("Lfm2MoeForCausalLM", shape, Experts + $$"""
            , "layer_types": [{{(shape == 1 ? "" : "\"full_attention\", ")}}"conv"], "num_dense_layers": 0
            """),
        ["qwen3_next"] = shape => LikeLlama("Qwen3NextForCausalLM", shape, Experts + DeltaNet),
        ["qwen3_5"] = shape => LikeLlama("Qwen3_5ForCausalLM", shape, DeltaNet),
        ["qwen3_5_moe"] = shape => LikeLlama("Qwen3_5MoeForCausalLM", shape, Experts + DeltaNet),
        ["olmo_hybrid"] = shape => LikeLlama("OlmoHybridForCausalLM", shape, DeltaNet + """, "rope_theta": 10000.0 """),
    };

    /// <summary>Layers with a window and without, of which in shape 2 the second half has the keys of the first.</summary>
    private static string SharedKeys(int shape) => $$"""
        , "sliding_window": 3, "hidden_size_per_layer_input": 6, "vocab_size_per_layer_input": {{TinyModel.VocabSize}},
          "num_kv_shared_layers": {{(shape - 1) * 2}}, "layer_types": ["sliding_attention", "full_attention"{{
          (shape == 1 ? "" : ", \"sliding_attention\", \"full_attention\"")}}]
        """;

    private const string Latent = """
        , "q_lora_rank": 6, "kv_lora_rank": 5, "qk_nope_head_dim": 4, "qk_rope_head_dim": 4, "v_head_dim": 6, "n_routed_experts": 8,
          "n_group": 4, "topk_group": 2, "num_experts_per_tok": 2, "moe_intermediate_size": 8, "n_shared_experts": 1
        """;

    private const string Mamba2 = """
        , "mamba_n_heads": 4, "mamba_d_head": 6, "mamba_d_state": 4, "mamba_n_groups": 2, "mamba_expand": 2, "head_dim": 4
        """;

    private const string DeltaNet = """
        , "full_attention_interval": 2, "linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 4,
          "linear_value_head_dim": 6, "head_dim": 8
        """;

    private static string StateSpace(int shape) => $$"""
        "hidden_size": 16, "num_hidden_layers": {{shape}}, "state_size": 4
        """;

    private const string Experts = """
        , "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 12
        """;

    static TinyConfigs()
    {
        foreach (string architecture in (string[])[
            "Mistral", "Qwen2", "Qwen3", "Olmo2", "Phi3", "Starcoder2", "StableLm", "Mixtral", "Qwen2Moe", "Qwen3Moe", "Apertus", "Arcee",
            "Cohere", "Cohere2", "Ernie4_5", "Ernie4_5_Moe", "Exaone4", "ExaoneMoe", "Glm", "Glm4", "Glm4Moe", "Granite", "GraniteMoe",
            "GraniteMoeShared", "GptOss", "Helium", "HunYuanMoEV1", "MiniMaxM2", "Nemotron", "Olmo3", "Olmoe", "Phimoe", "SeedOss",
            "SmolLM3"])
            _all.Add(architecture, shape => TinyModel.LikeLlama($"{architecture}ForCausalLM", kvHeads: shape, layers: shape));
        foreach (var (name, architecture) in (ReadOnlySpan<(string, string)>)[("gemma3", "Gemma3"), ("Mistral", "Mistral3"),
            ("llama4", "Llama4"), ("gemma3n", "Gemma3n"), ("gemma4", "Gemma4"), ("qwen3_5", "Qwen3_5"), ("qwen3_5_moe", "Qwen3_5Moe")])
            _all.Add($"{architecture} with images", shape => $$"""
                { "architectures": ["{{architecture}}ForConditionalGeneration"], "text_config": {{Of(name, shape)}} }
                """);
        foreach (string task in (string[])["Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification"])
        {
            foreach (string family in (string[])["Bert", "Roberta", "XLMRoberta", "Electra"])
                _all.Add($"{family}{task}", shape => Of($"{family}{task}", $"{Bert(shape)}, \"embedding_size\": 8"));
            _all.Add($"DistilBert{task}", shape => Of($"DistilBert{task}", $$"""
                "max_position_embeddings": 64, "dim": 16, "hidden_dim": 24, "n_layers": {{shape}}, "n_heads": {{shape * 2}}
                """));
            _all.Add($"ModernBert{task}", shape => Of($"ModernBert{task}", $"{Bert(shape + 1)}, \"local_attention\": 4"));
            _all.Add($"DebertaV2{task}", shape => Of($"DebertaV2{task}", $"{Bert(shape)}, {DebertaV2}"));
        }
        _all.Add("ElectraForPreTraining", shape => Of("ElectraForPreTraining", Bert(shape)));
        _all.Add("electra not projected", shape => Of("ElectraForMaskedLM", Bert(shape)));
        _all.Add("modernbert with biases", shape => Of("ModernBertForSequenceClassification", $$"""
            {{Bert(shape * 2)}}, "norm_bias": true, "attention_bias": true, "mlp_bias": true, "classifier_bias": true,
            "classifier_pooling": "mean", "attention_dropout": 0.1, "num_labels": 1, "layer_types": [{{string.Join(", ",
            Enumerable.Range(0, shape * 2).Select(layer => layer % 2 == 0 ? "\"sliding_attention\"" : "\"full_attention\""))}}]
            """));
        _all.Add("deberta_v2 positions", shape => Of("DebertaV2ForMaskedLM", $$"""
            {{Bert(shape)}}, "relative_attention": true, "pos_att_type": "c2p|p2c", "position_buckets": -1, "max_relative_positions": 6
            """));
        _all.Add("deberta_v2 one way", shape => Of("DebertaV2ForTokenClassification", $$"""
            {{Bert(shape)}}, {{DebertaV2}}, "share_att_key": false, "pos_att_type": ["{{(shape == 1 ? "c2p" : "p2c")}}"], "type_vocab_size": 0
            """));
        _byArchitecture = _all.Values.Select(make => make(2)).DistinctBy(Architecture).ToDictionary(Architecture);
    }

    private static readonly Dictionary<string, string> _byArchitecture;

    private static string Architecture(string config)
    {
        using JsonDocument parsed = JsonDocument.Parse(config); // allows repeated keys
        return parsed.RootElement.GetProperty("architectures")[0].GetString()!;
    }

    public static IReadOnlyCollection<string> Names => _all.Keys;

    /// <summary>The models that generate, and so have a cache.</summary>
    public static IReadOnlyCollection<string> CausalNames => [.. Names.Where(name => !IsEncoder(Architecture(Of(name, 1))))];

    private static bool IsEncoder(string architecture) => architecture.Contains("bert", StringComparison.OrdinalIgnoreCase)
        || architecture.StartsWith("Electra", StringComparison.Ordinal);

    public static string Of(string name, int shape) => _all[name](shape);

    /// <summary>The first config of this class of transformers, in shape 2.</summary>
    /// <param name="more">Keys to append; the last value of a repeated key is used.</param>
    public static string OfArchitecture(string architecture, string more = "") =>
        _byArchitecture[architecture].TrimEnd()[..^1] + more + " }";

    /// <summary>A Llama with this in rope_scaling.</summary>
    public static string Rope(int shape, string scaling, string more = "") =>
        TinyModel.Llama(heads: 4, kvHeads: shape, layers: shape, hiddenSize: 32, more: $$""", "rope_scaling": { {{scaling}} } {{more}}""");

    public static string LikeLlama(string architecture, int shape, string more) => TinyModel.Llama(4, shape, shape, more: more)
        .Replace("LlamaForCausalLM", architecture, StringComparison.Ordinal).Replace("\"llama\"", "null", StringComparison.Ordinal);

    private static string Of(string architecture, string values) => $$"""
        { "architectures": ["{{architecture}}"], "vocab_size": {{TinyModel.VocabSize}}, "eos_token_id": 0, "pad_token_id": 0, {{values}} }
        """;

    private static string LlamaStyle(int shape, string more) => $$"""
        "max_position_embeddings": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": {{shape * 2}}, "num_attention_heads": 4,
        "num_key_value_heads": {{shape}} {{more}}
        """;

    private static string NeoX(int shape, string more) => $$"""
        "max_position_embeddings": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": {{shape}}, "num_attention_heads": 2 {{more}}
        """;

    private static string T5(int shape, string more) => $$"""
        "d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": {{3 - shape}}, "num_decoder_layers": {{shape}}, "num_heads": {{shape * 2}}, {{more}}
        """;

    private static string Opt(int shape, string more) => $$"""
        "max_position_embeddings": 64, "hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": {{shape}}, "num_attention_heads": {{shape * 2}} {{more}}
        """;

    private static string Falcon(int shape, string more) => $$"""
        "max_position_embeddings": 64, "hidden_size": 32, "num_hidden_layers": {{shape}}, "num_attention_heads": {{shape * 2}} {{more}}
        """;

    private static string Bert(int shape) => $$"""
        "max_position_embeddings": 64, "hidden_size": 16, "embedding_size": 16, "intermediate_size": 24, "num_hidden_layers": {{shape}},
        "num_attention_heads": {{Math.Min(4, shape * 2)}}, "type_vocab_size": 2, "num_labels": 3
        """;

    private const string DebertaV2 = """
        "relative_attention": true, "position_buckets": 4, "max_relative_positions": -1, "pos_att_type": ["p2c", "c2p"],
        "share_att_key": true, "norm_rel_ebd": "layer_norm", "position_biased_input": false
        """;

    private static string Json(bool flag) => flag ? "true" : "false";
}
