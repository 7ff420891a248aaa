using Ndif.Models.Loading;
using static Ndif.Models.Tests.Architectures.ReferenceMath;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Architectures;

/// <summary>
/// Options that no reference checkpoint has, compared with an independent implementation in plain loops (<see cref="ReferenceMath"/>).
/// </summary>
public sealed class ReferenceImplementationTests
{
    private static readonly long[] _ids = [3, 17, 8, 29, 5, 5, 38, 11, 2, 20, 33, 14];

    [Theory]
    [InlineData("default", "\"rope_type\": \"default\"")]
    [InlineData("linear", "\"type\": \"linear\", \"factor\": 3.0")]
    [InlineData("llama3",
        "\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 16")]
    [InlineData("yarn", "\"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 16, \"beta_fast\": 2.0")]
    [InlineData("yarn free",
        "\"type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 16, \"beta_fast\": 2.0, \"truncate\": false, \"mscale\": 0.7, \"mscale_all_dim\": 1.3")]
    [InlineData("dynamic", "\"rope_type\": \"dynamic\", \"factor\": 2.0")]
    [InlineData("longrope short",
        "\"rope_type\": \"longrope\", \"original_max_position_embeddings\": 12, \"short_factor\": [1.0, 1.1, 1.3, 1.5], \"long_factor\": [1.0, 2.0, 3.0, 4.0]")]
    [InlineData("longrope long",
        "\"rope_type\": \"longrope\", \"original_max_position_embeddings\": 8, \"short_factor\": [1.0, 1.1, 1.3, 1.5], \"long_factor\": [1.0, 2.0, 3.0, 4.0]")]
    public void Llama_WithEveryRotaryScaling_InBothStyles(string kind, string scaling)
    {
        int length = kind == "dynamic" ? 8 : 64; // max_position_embeddings
        string old = TinyConfigs.Rope(2, scaling, """, "rope_theta": 500.0""")
            .Replace("\"max_position_embeddings\": 64", $"\"max_position_embeddings\": {length}", StringComparison.Ordinal);
        double[] plain = Frequencies(8, 500), inverse = [.. plain];
        double size = 1;
        for (int p = 0; p < 4; p++)
        {
            switch (kind)
            {
                case "linear":
                    inverse[p] = plain[p] / 3;
                    break;
                case "llama3": // Llama 3.1's apply_scaling
                    double wavelength = 2 * Math.PI / plain[p], smooth = (16 / wavelength - 1) / (4 - 1);
                    inverse[p] = wavelength < 16 / 4.0 ? plain[p] : wavelength > 16 / 1.0 ? plain[p] / 8
                        : (1 - smooth) * plain[p] / 8 + smooth * plain[p];
                    break;
                case "yarn" or "yarn free": // a ramp between the dimensions with two rotations and one rotation in 16 tokens
                    double fast = Turning(2), slow = Turning(1);
                    if (kind == "yarn") (fast, slow) = (Math.Floor(fast), Math.Ceiling(slow));
                    double stretched = Math.Clamp((p - Math.Max(fast, 0)) / (Math.Min(slow, 7) - Math.Max(fast, 0)), 0, 1);
                    inverse[p] = plain[p] / 4 * stretched + plain[p] * (1 - stretched);
                    size = kind == "yarn" ? 0.1 * Math.Log(4) + 1 : (0.1 * 0.7 * Math.Log(4) + 1) / (0.1 * 1.3 * Math.Log(4) + 1);
                    break;
                case "dynamic": // 12 tokens, where max_position_embeddings is 8
                    inverse[p] = Frequencies(8, 500 * Math.Pow(2 * 12 / 8.0 - 1, 8 / 6.0))[p];
                    break;
                case "longrope short":
                    inverse[p] = plain[p] / new[] { 1.0, 1.1, 1.3, 1.5 }[p];
                    size = Math.Sqrt(1 + Math.Log(64 / 12.0) / Math.Log(12));
                    break;
                case "longrope long":
                    inverse[p] = plain[p] / new[] { 1.0, 2.0, 3.0, 4.0 }[p];
                    size = Math.Sqrt(1 + Math.Log(64 / 8.0) / Math.Log(8));
                    break;
            }
        }
        Func<ReferenceMath, double[][]> expected = m => Llama(m, inverse, size);
        Compare(old, expected);
        Compare(old.Replace("\"rope_scaling\": {", "\"rope_parameters\": { \"rope_theta\": 500.0, ", StringComparison.Ordinal)
            .Replace(", \"rope_theta\": 500.0 }", " }", StringComparison.Ordinal)
            .Replace("\"type\":", "\"rope_type\":", StringComparison.Ordinal), expected);

        // the dimension with this number of rotations in 16 tokens
        static double Turning(double turns) => 8 * Math.Log(16 / (turns * 2 * Math.PI)) / (2 * Math.Log(500));
    }

    private static double[][] Llama(ReferenceMath m, double[] inverse, double size)
    {
        double[][] x = m.Rows("model.embed_tokens.weight", _ids);
        for (int layer = 0; layer < 2; layer++)
        {
            string at = $"model.layers.{layer}";
            double[][] n = m.RMSNorm(x, at + ".input_layernorm");
            double[][] q = Rotate(m.Linear(n, at + ".self_attn.q_proj"), 4, inverse, size),
                k = Rotate(m.Linear(n, at + ".self_attn.k_proj"), 2, inverse, size);
            x = Add(x, m.Linear(Attend(q, k, m.Linear(n, at + ".self_attn.v_proj"), 4, 2, 1 / Math.Sqrt(8)), at + ".self_attn.o_proj"));
            x = Add(x, m.Gated(m.RMSNorm(x, at + ".post_attention_layernorm"), at + ".mlp", Silu));
        }
        return m.Linear(m.RMSNorm(x, "model.norm"), "lm_head");
    }

    [Theory]
    [InlineData(4)] // a number of heads that is a power of two, and one that is not
    [InlineData(3)]
    public void Falcon_WithAlibi_OneAfterTheOther(int heads) => Compare($$"""
        { "architectures": ["FalconForCausalLM"], "vocab_size": 40, "hidden_size": {{heads * 4}}, "num_hidden_layers": 2, "num_attention_heads": {{heads}},
          "alibi": true, "multi_query": false, "parallel_attn": false, "bias": true, "activation": "silu", "tie_word_embeddings": false }
        """, m =>
        {
            // Press et al.: 2^(-8/n), 2^(-16/n), ... for n heads; heads beyond a power of two take every other slope of the next power
            double[] slopes = heads == 4 ? [0.25, 1 / 16.0, 1 / 64.0, 1 / 256.0] : [1 / 16.0, 1 / 256.0, 0.25];
            double[][] x = m.Rows("transformer.word_embeddings.weight", _ids);
            for (int layer = 0; layer < 2; layer++)
            {
                string at = $"transformer.h.{layer}";
                double[][] mixed = m.Linear(m.LayerNorm(x, at + ".input_layernorm"), at + ".self_attention.query_key_value");
                double[][] q = OfHeads(mixed, heads, 0), k = OfHeads(mixed, heads, 1), v = OfHeads(mixed, heads, 2);
                double[][] z = Attend(q, k, v, heads, heads, 0.5, bias: (head, key) => slopes[head] * key * 0.5);
                x = Add(x, m.Linear(z, at + ".self_attention.dense"));
                double[][] inner = Each(m.Linear(m.LayerNorm(x, at + ".post_attention_layernorm"), at + ".mlp.dense_h_to_4h"), Silu);
                x = Add(x, m.Linear(inner, at + ".mlp.dense_4h_to_h"));
            }
            return m.Linear(m.LayerNorm(x, "transformer.ln_f"), "lm_head");
        });

    /// <summary>The query, key or value of heads whose three parts are adjacent.</summary>
    private static double[][] OfHeads(double[][] mixed, int heads, int which) =>
        EachHead(mixed, heads, (h, _) => h[(which * h.Length / 3)..((which + 1) * h.Length / 3)]);

    [Fact]
    public void Falcon_WithGroups_AndTwoNorms() => Compare("""
        { "architectures": ["FalconForCausalLM"], "vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
          "new_decoder_architecture": true, "num_kv_heads": 2, "activation": "silu", "ffn_hidden_size": 20, "tie_word_embeddings": false }
        """, m =>
        {
            double[][] x = m.Rows("transformer.word_embeddings.weight", _ids);
            double[][] mixed = m.Linear(m.LayerNorm(x, "transformer.h.0.ln_attn"), "transformer.h.0.self_attention.query_key_value");
            // each kv head has two queries, a key and a value, with a headDim of 8
            double[][] q = Rotate(EachHead(mixed, 2, (g, _) => g[..16]), 4, Frequencies(8)),
                k = Rotate(EachHead(mixed, 2, (g, _) => g[16..24]), 2, Frequencies(8));
            double[][] z = Attend(q, k, EachHead(mixed, 2, (g, _) => g[24..]), 4, 2, 1 / Math.Sqrt(8));
            double[][] inner = Each(m.Linear(m.LayerNorm(x, "transformer.h.0.ln_mlp"), "transformer.h.0.mlp.dense_h_to_4h"), Silu);
            x = Add(x, m.Linear(z, "transformer.h.0.self_attention.dense"), m.Linear(inner, "transformer.h.0.mlp.dense_4h_to_h"));
            return m.Linear(m.LayerNorm(x, "transformer.ln_f"), "lm_head");
        });

    [Theory]
    [InlineData("2.0", 2.0, "3.0", 3.0)]
    [InlineData("null", null, "null", null)]
    public void Gemma2_WithCaps_AndWindows(string capText, double? cap, string finalText, double? final) => Compare($$"""
        { "architectures": ["Gemma2ForCausalLM"], "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
          "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 3, "query_pre_attn_scalar": 20,
          "attn_logit_softcapping": {{capText}}, "final_logit_softcapping": {{finalText}}, "layer_types": ["full_attention", "sliding_attention"],
          "tie_word_embeddings": false }
        """, m =>
        {
            double[][] x = Each(m.Rows("model.embed_tokens.weight", _ids), v => v * 4);
            for (int layer = 0; layer < 2; layer++)
            {
                string at = $"model.layers.{layer}";
                double[][] n = m.RMSNorm(x, at + ".input_layernorm", plus: 1);
                double[][] q = Rotate(m.Linear(n, at + ".self_attn.q_proj"), 4, Frequencies(8)),
                    k = Rotate(m.Linear(n, at + ".self_attn.k_proj"), 2, Frequencies(8));
                double[][] z =
                    Attend(q, k, m.Linear(n, at + ".self_attn.v_proj"), 4, 2, 1 / Math.Sqrt(20), layer == 1 ? 3 : int.MaxValue, cap);
                x = Add(x, m.RMSNorm(m.Linear(z, at + ".self_attn.o_proj"), at + ".post_attention_layernorm", plus: 1));
                double[][] thought = m.Gated(m.RMSNorm(x, at + ".pre_feedforward_layernorm", plus: 1), at + ".mlp", GeluTanh);
                x = Add(x, m.RMSNorm(thought, at + ".post_feedforward_layernorm", plus: 1));
            }
            double[][] logits = m.Linear(m.RMSNorm(x, "model.norm", plus: 1), "lm_head");
            return final is { } f ? Each(logits, l => f * Math.Tanh(l / f)) : logits;
        });

    [Theory]
    [InlineData("Qwen2MoeForCausalLM", true)]
    [InlineData("Qwen2MoeForCausalLM", false)]
    [InlineData("MixtralForCausalLM", true)]
    public void Experts_AreChosenAndWeighed(string architecture, bool normalize)
    {
        bool qwen = architecture.StartsWith("Qwen", StringComparison.Ordinal);
        Compare(TinyConfigs.LikeLlama(architecture, 2, $$"""
            , "num_experts": 5, "num_local_experts": 5, "num_experts_per_tok": 3, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 12,
              "decoder_sparse_step": 2, "norm_topk_prob": {{(normalize ? "true" : "false")}}, "rms_norm_eps": 1e-6, "rope_theta": 10000.0
            """), m =>
        {
            double[][] x = m.Rows("model.embed_tokens.weight", _ids);
            for (int layer = 0; layer < 2; layer++)
            {
                string at = $"model.layers.{layer}";
                double[][] n = m.RMSNorm(x, at + ".input_layernorm");
                double[][] q = Rotate(m.Linear(n, at + ".self_attn.q_proj"), 4, Frequencies(4)),
                    k = Rotate(m.Linear(n, at + ".self_attn.k_proj"), 2, Frequencies(4));
                x = Add(x, m.Linear(Attend(q, k, m.Linear(n, at + ".self_attn.v_proj"), 4, 2, 0.5), at + ".self_attn.o_proj"));
                n = m.RMSNorm(x, at + ".post_attention_layernorm");
                if (qwen && layer == 0) // every second layer has experts
                {
                    x = Add(x, m.Gated(n, at + ".mlp", Silu));
                    continue;
                }
                double[][] routed = m.Experts(n, at + ".mlp", 3, normalize, Silu);
                x = Add(x, routed);
                if (!qwen) continue;
                double[][] share = Each(m.Linear(n, at + ".mlp.shared_expert_gate"), Sigmoid),
                    shared = m.Gated(n, at + ".mlp.shared_expert", Silu);
                x = Add(x, [.. shared.Select((t, i) => Array.ConvertAll(t, v => v * share[i][0]))]);
            }
            return m.Linear(m.RMSNorm(x, "model.norm"), "lm_head");
        });
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void StableLM_WithANormForEachHead_InParallelOrNot(bool parallel) =>
    Compare(TinyConfigs.LikeLlama("StableLmForCausalLM", 2, $$"""
        , "qk_layernorm": true, "use_parallel_residual": {{(parallel ? "true" : "false")}}, "use_qkv_bias": true, "partial_rotary_factor": 0.5
        """), m =>
        {
            double[][] x = m.Rows("model.embed_tokens.weight", _ids);
            for (int layer = 0; layer < 2; layer++)
            {
                string at = $"model.layers.{layer}";
                double[][] n = m.LayerNorm(x, at + ".input_layernorm");
                double[][] q =
                    EachHead(m.Linear(n, at + ".self_attn.q_proj"), 4, (h, i) => m.LayerNorm(h, $"{at}.self_attn.q_layernorm.norms.{i}"));
                double[][] k =
                    EachHead(m.Linear(n, at + ".self_attn.k_proj"), 2, (h, i) => m.LayerNorm(h, $"{at}.self_attn.k_layernorm.norms.{i}"));
                double[][] z =
                    Attend(Rotate(q, 4, Frequencies(2)), Rotate(k, 2, Frequencies(2)), m.Linear(n, at + ".self_attn.v_proj"), 4, 2, 0.5);
                double[][] middle = Add(x, m.Linear(z, at + ".self_attn.o_proj"));
                x = Add(middle, m.Gated(parallel ? n : m.LayerNorm(middle, at + ".post_attention_layernorm"), at + ".mlp", Silu));
            }
            return m.Linear(m.LayerNorm(x, "model.norm"), "lm_head");
        });

    [Theory]
    [InlineData(true, true)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public void OPT_WithNormsAfter_AProjection_AndNormsWithoutWeights(bool before, bool affine) => Compare($$"""
        { "architectures": ["OPTForCausalLM"], "vocab_size": 40, "max_position_embeddings": 64, "hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 2,
          "num_attention_heads": 2, "word_embed_proj_dim": 8, "do_layer_norm_before": {{(before ? "true" : "false")}},
          "layer_norm_elementwise_affine": {{(affine ? "true" : "false")}}, "enable_bias": {{(affine ? "true" : "false")}}, "tie_word_embeddings": false }
        """, m =>
        {
            const string Decoder = "model.decoder";
            double[][] x = Add(m.Linear(m.Rows(Decoder + ".embed_tokens.weight", _ids), Decoder + ".project_in"),
                m.Rows(Decoder + ".embed_positions.weight", Enumerable.Range(2, _ids.Length).Select(p => (long)p)));
            for (int layer = 0; layer < 2; layer++)
            {
                string at = $"{Decoder}.layers.{layer}";
                double[][] n = before ? m.LayerNorm(x, at + ".self_attn_layer_norm") : x;
                double[][] z =
                    Attend(m.Linear(n, at + ".self_attn.q_proj"), m.Linear(n, at + ".self_attn.k_proj"),
                        m.Linear(n, at + ".self_attn.v_proj"), 2, 2, 1 / Math.Sqrt(8));
                x = Add(x, m.Linear(z, at + ".self_attn.out_proj"));
                if (!before) x = m.LayerNorm(x, at + ".self_attn_layer_norm");
                n = before ? m.LayerNorm(x, at + ".final_layer_norm") : x;
                x = Add(x, m.Linear(Each(m.Linear(n, at + ".fc1"), Relu), at + ".fc2"));
                if (!before) x = m.LayerNorm(x, at + ".final_layer_norm");
            }
            if (before) x = m.LayerNorm(x, Decoder + ".final_layer_norm");
            return m.Linear(m.Linear(x, Decoder + ".project_out"), "lm_head");
        });

    [Fact]
    public void GPT2_WithScoresScaledByLayer() => Compare(TinyModel.GPT2(more: """
        , "scale_attn_by_inverse_layer_idx": true, "reorder_and_upcast_attn": true, "n_inner": 20, "tie_word_embeddings": false
        """), m =>
        {
            double[][] x =
                Add(m.Rows("transformer.wte.weight", _ids),
                    m.Rows("transformer.wpe.weight", Enumerable.Range(0, _ids.Length).Select(p => (long)p)));
            for (int layer = 0; layer < 2; layer++)
            {
                string at = $"transformer.h.{layer}";
                double[][] mixed = m.Conv1D(m.LayerNorm(x, at + ".ln_1"), at + ".attn.c_attn");
                double[][] z = Attend(Part(mixed, 0, 16), Part(mixed, 16, 16), Part(mixed, 32, 16), 2, 2, 1 / Math.Sqrt(8) / (layer + 1));
                x = Add(x, m.Conv1D(z, at + ".attn.c_proj"));
                x = Add(x, m.Conv1D(Each(m.Conv1D(m.LayerNorm(x, at + ".ln_2"), at + ".mlp.c_fc"), GeluTanh), at + ".mlp.c_proj"));
            }
            return m.Linear(m.LayerNorm(x, "transformer.ln_f"), "lm_head");
        });

    [Fact]
    public void GPTBigCode_WithAKeyForEachHead() => Compare("""
        { "architectures": ["GPTBigCodeForCausalLM"], "vocab_size": 40, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2,
          "multi_query": false, "scale_attn_weights": false, "tie_word_embeddings": false }
        """, m =>
        {
            double[][] x =
                Add(m.Rows("transformer.wte.weight", _ids),
                    m.Rows("transformer.wpe.weight", Enumerable.Range(0, _ids.Length).Select(p => (long)p)));
            for (int layer = 0; layer < 2; layer++)
            {
                string at = $"transformer.h.{layer}";
                double[][] mixed = m.Linear(m.LayerNorm(x, at + ".ln_1"), at + ".attn.c_attn");
                double[][] z = Attend(OfHeads(mixed, 2, 0), OfHeads(mixed, 2, 1), OfHeads(mixed, 2, 2), 2, 2, 1);
                x = Add(x, m.Linear(z, at + ".attn.c_proj"));
                x = Add(x, m.Linear(Each(m.Linear(m.LayerNorm(x, at + ".ln_2"), at + ".mlp.c_fc"), GeluTanh), at + ".mlp.c_proj"));
            }
            return m.Linear(m.LayerNorm(x, "transformer.ln_f"), "lm_head");
        });

    [Fact]
    public void Mpt_WithAScaleOfItsOwn_BeyondItsLength() => Compare("""
        { "architectures": ["MptForCausalLM"], "vocab_size": 40, "d_model": 24, "n_layers": 2, "n_heads": 3, "max_seq_len": 4,
          "attn_config": { "softmax_scale": 0.3, "clip_qkv": 0.4 }, "tie_word_embeddings": false }
        """, m =>
        {
            double[] slopes = [1 / 16.0, 1 / 256.0, 0.25];
            double[][] x = m.Rows("transformer.wte.weight", _ids);
            for (int layer = 0; layer < 2; layer++)
            {
                string at = $"transformer.blocks.{layer}";
                double[][] mixed = Each(m.Linear(m.LayerNorm(x, at + ".norm_1"), at + ".attn.Wqkv"), v => Math.Clamp(v, -0.4, 0.4));
                double[][] z = Attend(Part(mixed, 0, 24), Part(mixed, 24, 24), Part(mixed, 48, 24), 3, 3, 0.3,
                    bias: (head, key) => slopes[head] * key);
                x = Add(x, m.Linear(z, at + ".attn.out_proj"));
                x = Add(x, m.Linear(Each(m.Linear(m.LayerNorm(x, at + ".norm_2"), at + ".ffn.up_proj"), Gelu), at + ".ffn.down_proj"));
            }
            return m.Linear(m.LayerNorm(x, "transformer.norm_f"), "lm_head");
        });

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Rwkv_WithWidthsOfItsOwn_Rescaled(int every) => Compare($$"""
        { "architectures": ["RwkvForCausalLM"], "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 3, "attention_hidden_size": 12,
          "intermediate_size": 20, "rescale_every": {{every}} }
        """, m =>
        {
            double[][] x = m.Rows("rwkv.embeddings.weight", _ids);
            for (int layer = 0; layer < 3; layer++)
            {
                string at = $"rwkv.blocks.{layer}";
                double divisor = every == 0 ? 1 : Math.Pow(2, layer / every);
                if (layer == 0) x = m.LayerNorm(x, at + ".pre_ln");
                double[][] n = m.LayerNorm(x, at + ".ln1");
                double[][] key = Projected(n, at + ".attention", "key"), value = Projected(n, at + ".attention", "value");
                double[] decay = m.Vector(at + ".attention.time_decay"), first = m.Vector(at + ".attention.time_first");
                double[][] mixed = [.. key.Select((_, t) => Enumerable.Range(0, 12).Select(d =>
                {
                    double numerator = 0, denominator = 0;
                    for (int s = 0; s <= t; s++)
                    {
                        double weight = Math.Exp(s == t ? first[d] + key[s][d] : -Math.Exp(decay[d]) * (t - 1 - s) + key[s][d]);
                        (numerator, denominator) = (numerator + weight * value[s][d], denominator + weight);
                    }
                    return numerator / denominator;
                }).ToArray())];
                double[][] gated = Multiply(Each(Projected(n, at + ".attention", "receptance"), Sigmoid), mixed);
                x = Add(x, Each(m.Linear(gated, at + ".attention.output"), v => v / divisor));
                n = m.LayerNorm(x, at + ".ln2");
                double[][] inner = Each(Projected(n, at + ".feed_forward", "key"), v => Relu(v) * Relu(v));
                double[][] gate = Each(Projected(n, at + ".feed_forward", "receptance"), Sigmoid);
                x = Add(x, Multiply(gate, Each(m.Linear(inner, at + ".feed_forward.value"), v => v / divisor)));
                if (every > 0 && (layer + 1) % every == 0) x = Each(x, v => v / 2);
            }
            return m.Linear(m.LayerNorm(x, "rwkv.ln_out"), "head");

            double[][] Projected(double[][] n, string at, string name)
            {
                double[] part = m.Vector($"{at}.time_mix_{name}");
                double[][] earlier = [new double[16], .. n[..^1]];
                double[][] tokens = [.. n.Select((t, i) => t.Select((v, d) => v * part[d] + earlier[i][d] * (1 - part[d])).ToArray())];
                return m.Linear(tokens, $"{at}.{name}");
            }
        });

    [Fact]
    public void Bloom_WithItsResidualAfterTheNorm() => Compare("""
        { "architectures": ["BloomForCausalLM"], "vocab_size": 40, "hidden_size": 16, "n_layer": 2, "n_head": 4,
          "apply_residual_connection_post_layernorm": true, "tie_word_embeddings": false }
        """, m =>
        {
            double[][] x = m.LayerNorm(m.Rows("transformer.word_embeddings.weight", _ids), "transformer.word_embeddings_layernorm");
            for (int layer = 0; layer < 2; layer++)
            {
                string at = $"transformer.h.{layer}";
                double[][] n = m.LayerNorm(x, at + ".input_layernorm"), mixed = m.Linear(n, at + ".self_attention.query_key_value");
                double[][] z =
                    Attend(OfHeads(mixed, 4, 0), OfHeads(mixed, 4, 1), OfHeads(mixed, 4, 2), 4, 4, 0.5,
                        bias: (head, key) => Math.Pow(4, -head - 1) * key);
                n = m.LayerNorm(Add(n, m.Linear(z, at + ".self_attention.dense")), at + ".post_attention_layernorm");
                x = Add(n, m.Linear(Each(m.Linear(n, at + ".mlp.dense_h_to_4h"), GeluTanh), at + ".mlp.dense_4h_to_h"));
            }
            return m.Linear(m.LayerNorm(x, "transformer.ln_f"), "lm_head");
        });

    private static void Compare(string config, Func<ReferenceMath, double[][]> model)
    {
        using TempFolder folder = new();
        TinyModel.Write(folder, config, seed: 7);
        using LoadedModel loaded = TinyModel.Load(folder.Path);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        double[][] expected = model(new ReferenceMath(TinyModel.Weights(folder, seed: 7)));
        Tensor logits = TinyModel.Logits(loaded, tensor(_ids).unsqueeze(0))[0];                    // [seq, vocab]
        Assert.Equal([_ids.Length, TinyModel.VocabSize], logits.shape);
        double size = expected.SelectMany(t => t).Max(Math.Abs);
        for (int token = 0; token < _ids.Length; token++)
        {
            float[] actual = logits[token].data<float>().ToArray();
            for (int i = 0; i < actual.Length; i++)
                Assert.InRange(actual[i], expected[token][i] - 1e-5 * (1 + size), expected[token][i] + 1e-5 * (1 + size));
        }
    }
}
