using System.Text.Json.Nodes;

namespace Ndif.Models.Files.Gguf;

/// <summary>An architecture of llama.cpp: the names of its tensors and of its settings in Hugging Face's checkpoints.</summary>
/// <param name="ModelType">model_type</param>
/// <param name="ClassName">architectures</param>
/// <param name="Layers">The path of the layers: "model.layers".</param>
/// <param name="Names">The tensors: those outside of the blocks first.</param>
/// <remarks>
/// gguf-py/gguf/tensor_mapping.py and the converters in conversion/ of llama.cpp; GGUF_CONFIG_MAPPING in transformers/integrations/ggml.py
/// </remarks>
internal sealed record GgufArchitecture(string ModelType, string ClassName, string Layers, IReadOnlyList<GgufName> Names)
{
    /// <summary>The weights of norms are stored plus one.</summary>
    public bool AddsOneToNorms { get; init; }

    /// <summary>The value that a setting has if the file does not say, and settings that follow from others.</summary>
    public Action<GgufMetadata, JsonObject>? Complete { get; init; }

    /// <summary>Names of settings that differ from those of most architectures: from "hidden_size" to "n_embd".</summary>
    public IReadOnlyDictionary<string, string> Renamed { get; init; } = new Dictionary<string, string>();

    private static readonly GgufName[] _outer =
        [new("token_embd", "model.embed_tokens"), new("output_norm", "model.norm"), new("output", "lm_head")];

    private static readonly GgufName[] _attention =
    [
        new("attn_q", "self_attn.q_proj"), new("attn_k", "self_attn.k_proj"), new("attn_v", "self_attn.v_proj"),
        new("attn_output", "self_attn.o_proj"), new("attn_q_norm", "self_attn.q_norm"), new("attn_k_norm", "self_attn.k_norm"),
    ];

    private static readonly GgufName[] _rotatedAttention =
    [
        new("attn_q", "self_attn.q_proj", GgufRowOrder.InterleavedQueryHeads), new("attn_k", "self_attn.k_proj",
            GgufRowOrder.InterleavedKeyHeads),
        new("attn_v", "self_attn.v_proj"), new("attn_output", "self_attn.o_proj"),
    ];

    private static readonly GgufName[] _norms = [new("attn_norm", "input_layernorm"), new("ffn_norm", "post_attention_layernorm")];

    private static readonly GgufName[] _sandwichNorms =
    [
        new("attn_norm", "input_layernorm"), new("post_attention_norm", "post_attention_layernorm"),
        new("ffn_norm", "pre_feedforward_layernorm"), new("post_ffw_norm", "post_feedforward_layernorm"),
    ];

    private static readonly GgufName[] _mlp =
        [new("ffn_gate", "mlp.gate_proj"), new("ffn_up", "mlp.up_proj"), new("ffn_down", "mlp.down_proj")];

    private static readonly GgufName[] _experts =
    [
        new("ffn_gate_inp", "mlp.gate"), new("ffn_gate_exps", "mlp.experts.{e}.gate_proj"), new("ffn_up_exps", "mlp.experts.{e}.up_proj"),
        new("ffn_down_exps", "mlp.experts.{e}.down_proj"),
    ];

    private static readonly GgufName[] _sharedExpert =
    [
        new("ffn_gate_inp_shexp", "mlp.shared_expert_gate"), new("ffn_gate_shexp", "mlp.shared_expert.gate_proj"),
        new("ffn_up_shexp", "mlp.shared_expert.up_proj"), new("ffn_down_shexp", "mlp.shared_expert.down_proj"),
    ];

    private static readonly GgufArchitecture _llama =
        new("llama", "LlamaForCausalLM", "model.layers", [.. _outer, .. _rotatedAttention, .. _norms,
            .. _mlp]) { Complete = GgufConfig.Llama };

    private static readonly GgufArchitecture _mixtral = new("mixtral", "MixtralForCausalLM", "model.layers",
    [
        .. _outer, .. _rotatedAttention, .. _norms, new("ffn_gate_inp", "block_sparse_moe.gate"),
        new("ffn_gate_exps", "block_sparse_moe.experts.{e}.w1"), new("ffn_up_exps", "block_sparse_moe.experts.{e}.w3"),
        new("ffn_down_exps", "block_sparse_moe.experts.{e}.w2"),
    ]) { Complete = (metadata, config) => GgufConfig.Experts(metadata, config, "num_local_experts", "") };

    private static readonly Dictionary<string, GgufArchitecture> _byName = new(StringComparer.Ordinal)
    {
        ["llama"] = _llama,
        ["qwen2"] = new("qwen2", "Qwen2ForCausalLM", "model.layers", [.. _outer, .. _attention, .. _norms, .. _mlp]),
        ["qwen3"] = new("qwen3", "Qwen3ForCausalLM", "model.layers", [.. _outer, .. _attention, .. _norms, .. _mlp]),
        ["qwen2moe"] = new("qwen2_moe", "Qwen2MoeForCausalLM", "model.layers",
            [.. _outer, .. _attention, .. _norms, .. _experts, .. _sharedExpert])
        {
            Complete = (metadata, config) =>
            {
                GgufConfig.Experts(metadata, config, "num_experts", "moe_intermediate_size");
                if (metadata.Integer(metadata.Key("expert_shared_feed_forward_length")) is { } size)
                    config["shared_expert_intermediate_size"] = size;
            },
        },
        ["qwen3moe"] = new("qwen3_moe", "Qwen3MoeForCausalLM", "model.layers", [.. _outer, .. _attention, .. _norms, .. _experts])
        {
            Complete = (metadata, config) =>
            {
                GgufConfig.Experts(metadata, config, "num_experts", "moe_intermediate_size");
                config["norm_topk_prob"] = true;
            },
        },
        ["gemma"] = new("gemma", "GemmaForCausalLM", "model.layers", [.. _outer, .. _attention, .. _norms,
            .. _mlp]) { AddsOneToNorms = true },
        ["gemma2"] = new("gemma2", "Gemma2ForCausalLM", "model.layers", [.. _outer, .. _attention, .. _sandwichNorms, .. _mlp])
        {
            AddsOneToNorms = true, Complete = GgufConfig.Gemma2,
        },
        ["gemma3"] = new("gemma3_text", "Gemma3ForCausalLM", "model.layers", [.. _outer, .. _attention, .. _sandwichNorms, .. _mlp])
        {
            AddsOneToNorms = true, Complete = GgufConfig.Gemma3,
        },
        ["phi3"] = new("phi3", "Phi3ForCausalLM", "model.layers",
        [
            .. _outer, new("attn_qkv", "self_attn.qkv_proj"), new("attn_output", "self_attn.o_proj"), .. _norms,
            new("ffn_up", "mlp.gate_up_proj"), new("ffn_down", "mlp.down_proj"),
        ]) { Complete = GgufConfig.Phi3 },
        ["phi2"] = new("phi", "PhiForCausalLM", "model.layers",
        [
            new("token_embd", "model.embed_tokens"), new("output_norm", "model.final_layernorm"), new("output", "lm_head"),
            new("attn_q", "self_attn.q_proj"), new("attn_k", "self_attn.k_proj"), new("attn_v", "self_attn.v_proj"),
            new("attn_output", "self_attn.dense"), new("attn_norm", "input_layernorm"), new("ffn_up", "mlp.fc1"),
                new("ffn_down", "mlp.fc2"),
        ]) { Complete = (metadata, config) => GgufConfig.PartialRotary(metadata, config, "partial_rotary_factor") },
        ["starcoder2"] = new("starcoder2", "Starcoder2ForCausalLM", "model.layers",
            [.. _outer, .. _attention[..4], .. _norms, new("ffn_up", "mlp.c_fc"), new("ffn_down", "mlp.c_proj")])
        {
            Renamed = new Dictionary<string, string> { ["layer_norm_eps"] = "norm_epsilon" },
        },
        ["olmo2"] = new("olmo2", "Olmo2ForCausalLM", "model.layers",
        [
            .. _outer, .. _attention, new("post_attention_norm", "post_attention_layernorm"),
                new("post_ffw_norm", "post_feedforward_layernorm"),
            .. _mlp,
        ]),
        ["stablelm"] = new("stablelm", "StableLmForCausalLM", "model.layers", [.. _outer, .. _attention[..4], .. _norms, .. _mlp])
        {
            Complete = (metadata, config) =>
            {
                GgufConfig.PartialRotary(metadata, config, "partial_rotary_factor");
                config["use_parallel_residual"] = metadata.Flag(metadata.Key("use_parallel_residual")) ?? false;
            },
        },
        ["gpt2"] = new("gpt2", "GPT2LMHeadModel", "transformer.h",
        [
            new("token_embd", "transformer.wte"), new("position_embd", "transformer.wpe"), new("output_norm", "transformer.ln_f"),
            new("output", "lm_head"), new("attn_norm", "ln_1"), new("attn_qkv", "attn.c_attn", IsTransposed: true),
            new("attn_output", "attn.c_proj", IsTransposed: true), new("ffn_norm", "ln_2"), new("ffn_up", "mlp.c_fc", IsTransposed: true),
            new("ffn_down", "mlp.c_proj", IsTransposed: true),
        ])
        {
            Renamed = new Dictionary<string, string>
            {
                ["hidden_size"] = "n_embd", ["num_hidden_layers"] = "n_layer", ["num_attention_heads"] = "n_head",
                ["intermediate_size"] = "n_inner", ["max_position_embeddings"] = "n_positions", ["layer_norm_eps"] = "layer_norm_epsilon",
            },
        },
        ["gptneox"] = new("gpt_neox", "GPTNeoXForCausalLM", "gpt_neox.layers",
        [
            new("token_embd", "gpt_neox.embed_in"), new("output_norm", "gpt_neox.final_layer_norm"), new("output", "embed_out"),
            new("attn_norm", "input_layernorm"), new("attn_qkv", "attention.query_key_value", GgufRowOrder.SplitQkv),
            new("attn_output", "attention.dense"), new("ffn_norm", "post_attention_layernorm"), new("ffn_up", "mlp.dense_h_to_4h"),
            new("ffn_down", "mlp.dense_4h_to_h"),
        ])
        {
            Complete = (metadata, config) =>
            {
                GgufConfig.PartialRotary(metadata, config, "rotary_pct");
                config["use_parallel_residual"] = metadata.Flag(metadata.Key("use_parallel_residual")) ?? true;
            },
        },
        ["bloom"] = new("bloom", "BloomForCausalLM", "transformer.h",
        [
            new("token_embd", "transformer.word_embeddings"), new("token_embd_norm", "transformer.word_embeddings_layernorm"),
            new("output_norm", "transformer.ln_f"), new("output", "lm_head"), new("attn_norm", "input_layernorm"),
            new("attn_qkv", "self_attention.query_key_value", GgufRowOrder.SplitQkv), new("attn_output", "self_attention.dense"),
            new("ffn_norm", "post_attention_layernorm"), new("ffn_up", "mlp.dense_h_to_4h"), new("ffn_down", "mlp.dense_4h_to_h"),
        ])
        {
            Renamed = new Dictionary<string, string>
            {
                ["num_hidden_layers"] = "n_layer", ["num_attention_heads"] = "n_head", ["layer_norm_eps"] = "layer_norm_epsilon",
            },
        },
    };

    /// <summary>The names of the architectures that can be read.</summary>
    public static IEnumerable<string> Known => _byName.Keys;

    /// <summary>Hugging Face's classes for them.</summary>
    public static IEnumerable<string> KnownClasses => _byName.Values.Append(_mixtral).Select(architecture => architecture.ClassName);

    /// <summary>The architecture of a file.</summary>
    /// <exception cref="CheckpointException">UNSUPPORTED_ARCHITECTURE</exception>
    public static GgufArchitecture Of(GgufMetadata metadata)
    {
        string name = metadata.Architecture;
        if (name == "llama" && metadata.Integer("llama.expert_count") is > 0) return _mixtral; // llama.cpp has one name for both
        return _byName.GetValueOrDefault(name) ?? throw Errors.CreateException(Protocol.ErrorCode.UnsupportedArchitecture,
            $"{metadata.Path} is for `{name}`, which cannot be read from GGUF.",
            $"Known are {string.Join(", ", Known)}. Other models load from Hugging Face's files.");
    }

    /// <summary>The path in Hugging Face's checkpoints, with the order of the rows; null for a tensor that is not known.</summary>
    /// <param name="name">"blk.0.attn_q.weight"</param>
    public (GgufName Name, string Path, string Suffix)? Resolve(string name)
    {
        int dot = name.LastIndexOf('.');
        if (dot < 0) return null;
        string path = name[..dot], suffix = name[(dot + 1)..];
        if (suffix is not ("weight" or "bias")) return null;
        string layer = "";
        if (path.StartsWith("blk.", StringComparison.Ordinal))
        {
            int end = path.IndexOf('.', 4);
            if (end < 0 || !int.TryParse(path[4..end], System.Globalization.CultureInfo.InvariantCulture, out int number)) return null;
            (layer, path) = ($"{Layers}.{number}.", path[(end + 1)..]);
        }
        return Names.FirstOrDefault(known => known.Gguf == path) is { } found ? (found, layer + found.HuggingFace, suffix) : null;
    }
}
