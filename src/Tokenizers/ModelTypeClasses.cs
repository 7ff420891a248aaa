namespace Ndif.Tokenizers;

/// <summary>
/// The tokenizer class of a model type (<c>model_type</c> in config.json). It is used where tokenizer_config.json names no class. Where it
/// names another class than this one, the named class is not trusted, and everything is taken from tokenizer.json.
/// </summary>
/// <remarks>
/// transformers 5, models/auto/tokenization_auto.py, TOKENIZER_MAPPING_NAMES and MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS. A model type
/// that is not listed, such as "llama", keeps the class that is named.
/// </remarks>
internal static class ModelTypeClasses
{
    private static readonly Dictionary<string, string[]> _modelTypes = new(StringComparer.Ordinal)
    {
        ["BertTokenizer"] = ["bert", "distilbert", "electra", "convbert", "megatron-bert", "squeezebert"],
        ["CohereTokenizer"] = ["cohere", "cohere2"],
        ["GemmaTokenizer"] = ["gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "recurrent_gemma", "t5gemma"],
        ["GPT2Tokenizer"] =
        [
            "codegen", "dbrx", "exaone4", "flex_olmo", "gpt2", "gpt_bigcode", "gpt_neo", "gptj", "granite", "granitemoe",
            "granitemoehybrid",
            "granitemoeshared", "jais2", "olmo3", "opt", "phi", "starcoder2",
        ],
        ["GPTNeoXTokenizer"] = ["falcon_mamba", "gpt_neox", "mamba", "mamba2", "mpt", "olmo", "olmo2", "olmoe", "rwkv", "stablelm",
        "xlstm"],
        ["Qwen2Tokenizer"] = ["qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl", "qwen3", "qwen3_moe", "qwen3_next", "qwen3_vl",
        "qwen3_vl_moe"],
        ["RobertaTokenizer"] = ["bart", "roberta", "longformer", "ibert", "lilt", "data2vec-text"],
        ["T5Tokenizer"] = ["t5", "mt5", "umt5", "longt5", "switch_transformers"],
        ["XLMRobertaTokenizer"] = ["xlm-roberta", "xlm-roberta-xl", "xmod"],
        [TokenizerClass.GenericName] =
        [
            "glm", "glm4", "glm4_moe", "glm4_moe_lite", "glm4v", "ministral3", "mistral", "mistral3", "mixtral", "pixtral", "voxtral",
            // Repositories of these types name a wrong class.
            "arctic", "chameleon", "chatlm", "deepseek_v2", "deepseek_v3", "deepseek_vl", "deepseek_vl_hybrid", "deepseek_vl_v2", "fuyu",
            "h2ovl_chat", "hyperclovax_vlm", "internlm2", "internvl_chat", "jamba", "janus", "kimi_k25", "llava", "llava_next", "minicpmv",
            "minimax_m2", "modernbert", "molmo", "molmo2", "nemotron", "opencua", "openvla", "phi3", "phi3_v", "phimoe", "step3p5",
            "vipllava",
        ],
    };

    private static readonly Dictionary<string, string> _classes = _modelTypes
        .SelectMany(entry => entry.Value.Select(type => (type, entry.Key)))
        .ToDictionary(entry => entry.type, entry => entry.Key, StringComparer.Ordinal);

    /// <summary>Returns the class to use.</summary>
    /// <param name="named">The class that tokenizer_config.json names, without the suffix "Fast", or null.</param>
    /// <param name="modelType">The model type, or null.</param>
    /// <param name="hasTokenizerJson">True if there is a tokenizer.json from which everything can be taken.</param>
    public static string? Resolve(string? named, string? modelType, bool hasTokenizerJson)
    {
        string? ofModelType = _classes.GetValueOrDefault(modelType ?? "");
        if (named is null || (named == TokenizerClass.GenericName && !hasTokenizerJson)) return ofModelType ?? named;
        return hasTokenizerJson && ofModelType is not null && ofModelType != named ? TokenizerClass.GenericName : named;
    }
}
