using System.Text.Json.Nodes;

namespace Ndif.Models.Files.Gguf;

/// <summary>Makes Hugging Face's config.json from the metadata of a GGUF file.</summary>
/// <remarks>docs/gguf.md of ggml, and the writers of the metadata, gguf-py/gguf/gguf_writer.py and conversion/ of llama.cpp</remarks>
internal static class GgufConfig
{
    // the settings that all architectures have, and those that some have
    private static readonly (string Gguf, string HuggingFace)[] _required =
        [("embedding_length", "hidden_size"), ("block_count", "num_hidden_layers"), ("attention.head_count", "num_attention_heads")];

    private static readonly (string Gguf, string HuggingFace)[] _optional =
    [
        ("context_length", "max_position_embeddings"), ("feed_forward_length", "intermediate_size"),
        ("attention.head_count_kv", "num_key_value_heads"), ("attention.key_length", "head_dim"),
        ("attention.layer_norm_rms_epsilon", "rms_norm_eps"), ("attention.layer_norm_epsilon", "layer_norm_eps"),
        ("rope.freq_base", "rope_theta"),
    ];

    /// <summary>The context length of Llama 3 before it was stretched.</summary>
    private const int Llama3Context = 8192;

    /// <param name="shapeOf">The shape of a tensor of the file, or null.</param>
    /// <param name="factorsOf">The values of a tensor of rotary factors, or null.</param>
    public static JsonObject Create(GgufMetadata metadata, GgufArchitecture architecture, Func<string, long[]?> shapeOf,
        Func<string, double[]?> factorsOf)
    {
        JsonObject config = new()
        {
            ["model_type"] = architecture.ModelType, ["architectures"] = new JsonArray(architecture.ClassName),
            ["tie_word_embeddings"] = shapeOf("output.weight") is null,
        };
        void Set(string key, JsonNode value) => config[architecture.Renamed.GetValueOrDefault(key, key)] = value;
        foreach (var (gguf, key) in _required) Set(key, metadata.Size(gguf));
        foreach (var (gguf, key) in _optional)
        {
            string name = metadata.Key(gguf);
            if (!metadata.Has(name)) continue;
            if (key is "rms_norm_eps" or "layer_norm_eps" or "rope_theta") Set(key, metadata.Real(name)!.Value);
            else Set(key, metadata.Size(gguf));
        }
        Set("vocab_size", shapeOf("token_embd.weight") is [var rows, _] ? rows : throw metadata.Missing("token_embd.weight"));
        foreach (var (gguf, key) in new[] { ("bos", "bos_token_id"), ("eos", "eos_token_id"), ("padding", "pad_token_id") })
            if (metadata.Integer($"tokenizer.ggml.{gguf}_token_id") is { } id) config[key] = id;
        if (shapeOf("blk.0.attn_q.bias") is not null)
            foreach (string flag in (string[])["attention_bias", "use_qkv_bias"]) config[flag] = true;
        SetRopeScaling(metadata, config, factorsOf);
        architecture.Complete?.Invoke(metadata, config);
        return config;
    }

    public static void Llama(GgufMetadata metadata, JsonObject config)
    {
        // the rotated part of a head is the whole
        if (!config.ContainsKey("head_dim") && metadata.Integer("llama.rope.dimension_count") is { } dim) config["head_dim"] = dim;
    }

    public static void Experts(GgufMetadata metadata, JsonObject config, string countKey, string intermediateKey)
    {
        config[countKey] = metadata.Size("expert_count");
        config["num_experts_per_tok"] = metadata.Size("expert_used_count");
        if (intermediateKey.Length > 0 && metadata.Integer(metadata.Key("expert_feed_forward_length")) is { } size)
            config[intermediateKey] = size;
    }

    /// <summary>The scores are divided by the root of a head's size, except in the largest model (gemma2.cpp of llama.cpp).</summary>
    public static void Gemma2(GgufMetadata metadata, JsonObject config)
    {
        Window(metadata, config);
        foreach (string key in (string[])["attn_logit_softcapping", "final_logit_softcapping"])
            if (metadata.Real(metadata.Key(key)) is { } cap) config[key] = cap;
        config["query_pre_attn_scalar"] = (long)config["num_hidden_layers"]! == 46
            ? (long)config["hidden_size"]! / (long)config["num_attention_heads"]! : metadata.Size("attention.key_length");
    }

    /// <summary>As <see cref="Gemma2"/>; every sixth layer sees all tokens.</summary>
    public static void Gemma3(GgufMetadata metadata, JsonObject config)
    {
        Window(metadata, config);
        config["sliding_window_pattern"] = metadata.Integer(metadata.Key("attention.sliding_window_pattern")) ?? 6;
        if (!config.ContainsKey("rope_theta")) config["rope_theta"] = 1_000_000;
        config["rope_local_base_freq"] = metadata.Real(metadata.Key("rope.freq_base_swa")) ?? 10_000;
        if (metadata.Real(metadata.Key("final_logit_softcapping")) is { } cap) config["final_logit_softcapping"] = cap;
        config["query_pre_attn_scalar"] = (long)config["num_hidden_layers"]! == 62
            ? (long)config["hidden_size"]! / (long)config["num_attention_heads"]! : metadata.Size("attention.key_length");
    }

    public static void Phi3(GgufMetadata metadata, JsonObject config)
    {
        PartialRotary(metadata, config, "partial_rotary_factor");
        if (metadata.Integer(metadata.Key("attention.sliding_window")) is > 0 and var window) config["sliding_window"] = window;
        if (metadata.Integer(metadata.Key("rope.scaling.original_context_length")) is > 0 and var length)
            config["original_max_position_embeddings"] = length;
    }

    /// <summary>The fraction of a head that positions rotate.</summary>
    public static void PartialRotary(GgufMetadata metadata, JsonObject config, string key)
    {
        long headDim = metadata.Integer(metadata.Key("attention.key_length"))
            ?? metadata.Size("embedding_length") / metadata.Size("attention.head_count");
        if (metadata.Integer(metadata.Key("rope.dimension_count")) is > 0 and var rotated && rotated != headDim)
            config[key] = (double)rotated / headDim;
        else config[key] = 1.0;
    }

    private static void Window(GgufMetadata metadata, JsonObject config)
    {
        if (metadata.Integer(metadata.Key("attention.sliding_window")) is > 0 and var window) config["sliding_window"] = window;
    }

    /// <summary>
    /// Scaling by name, or by a factor for each frequency in a tensor of its own: those of Llama 3.1 (rope_freqs), or the long and short
    /// ones of Phi-3 (rope_factors_long, rope_factors_short).
    /// </summary>
    private static void SetRopeScaling(GgufMetadata metadata, JsonObject config, Func<string, double[]?> factorsOf)
    {
        JsonObject scaling = [];
        string? type = metadata.Text(metadata.Key("rope.scaling.type"));
        double factor = metadata.Real(metadata.Key("rope.scaling.factor")) ?? metadata.Real(metadata.Key("rope.scale_linear")) ?? 1;
        long? original = metadata.Integer(metadata.Key("rope.scaling.original_context_length"));
        if (factorsOf("rope_factors_long.weight") is { } longFactors && factorsOf("rope_factors_short.weight") is { } shortFactors)
        {
            scaling["rope_type"] = "longrope";
            (scaling["long_factor"], scaling["short_factor"]) = (Array(longFactors), Array(shortFactors));
            if (metadata.Real(metadata.Key("rope.scaling.attn_factor")) is { } attention) scaling["attention_factor"] = attention;
            if (original is not null) scaling["original_max_position_embeddings"] = original;
        }
        else if (factorsOf("rope_freqs.weight") is { } factors)
        {
            if (AreThoseOfLlama3(factors, (double?)config["rope_theta"] ?? 10_000))
            {
                (scaling["rope_type"], scaling["factor"]) = ("llama3", factors.Max());
                (scaling["low_freq_factor"], scaling["high_freq_factor"]) = (1.0, 4.0);
                scaling["original_max_position_embeddings"] = Llama3Context;
            }
            else
            {
                scaling["rope_type"] = "longrope"; // with the same factors at any length
                (scaling["long_factor"], scaling["short_factor"], scaling["attention_factor"]) = (Array(factors), Array(factors), 1.0);
                scaling["original_max_position_embeddings"] = metadata.Integer(metadata.Key("context_length")) ?? Llama3Context;
            }
        }
        else if (type is "linear" or "yarn" && factor > 0 && factor != 1)
        {
            (scaling["rope_type"], scaling["factor"]) = (type, factor);
            if (original is not null) scaling["original_max_position_embeddings"] = original;
            foreach (var (gguf, key) in new[] { ("attn_factor", "attention_factor"), ("yarn_beta_fast", "beta_fast"),
                ("yarn_beta_slow", "beta_slow") })
                if (type == "yarn" && metadata.Real(metadata.Key($"rope.scaling.{gguf}")) is { } value) scaling[key] = value;
        }
        else if (type is not (null or "none" or "linear" or "yarn"))
            throw Errors.CreateException(Protocol.ErrorCode.BadCheckpoint,
                $"{metadata.Path}: the metadata `{metadata.Key("rope.scaling.type")}` is `{type}`, which is not known.");
        if (scaling.Count > 0) config["rope_scaling"] = scaling;
    }

    /// <summary>
    /// Whether the factors are those of Llama 3.1 to 3.3: 1 for short wavelengths, one factor for long ones, and a blend between.
    /// </summary>
    private static bool AreThoseOfLlama3(double[] factors, double theta)
    {
        double largest = factors.DefaultIfEmpty(1).Max();
        for (int i = 0; i < factors.Length; i++)
        {
            double wavelength = 2 * Math.PI * Math.Pow(theta, (double)i / factors.Length),
                blend = (Llama3Context / wavelength - 1) / (4 - 1);
            double expected = wavelength < Llama3Context / 4.0 ? 1 : wavelength > Llama3Context ? largest
                : 1 / ((1 - blend) / largest + blend);
            if (Math.Abs(factors[i] - expected) > 1e-3 * expected) return false;
        }
        return largest > 1;
    }

    private static JsonArray Array(double[] values) => [.. values.Select(value => (JsonNode)value)];
}
