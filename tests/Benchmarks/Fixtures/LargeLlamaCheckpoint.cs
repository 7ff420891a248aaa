using Ndif.Models.Files;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>
/// A Llama of 430 million parameters, whose layers are as wide as those of a model of a billion, with random weights: in bfloat16 (860 MB),
/// and the layers in four bits as GPTQ has them, with groups of 32.
/// </summary>
internal static class LargeLlamaCheckpoint
{
    private const int VocabSize = 8192, NumLayers = 8, HiddenSize = 2048, IntermediateSize = 5632, NumHeads = 16, NumKvHeads = 4;

    private const int GroupSize = 32;

    /// <summary>The folder with weights in bfloat16.</summary>
    public static string Folder() => CheckpointCache.GetOrWrite("llama-430m-1", folder => Write(folder, isPacked: false));

    /// <summary>The folder with weights in four bits.</summary>
    public static string PackedFolder() => CheckpointCache.GetOrWrite("llama-430m-gptq-1", folder => Write(folder, isPacked: true));

    private static void Write(string folder, bool isPacked)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using var random = new Generator(0);
        Dictionary<string, Tensor> weights = new()
        {
            ["model.embed_tokens.weight"] = Random(VocabSize, HiddenSize), ["lm_head.weight"] = Random(VocabSize, HiddenSize),
            ["model.norm.weight"] = ones(HiddenSize, ScalarType.BFloat16),
        };
        for (int layer = 0; layer < NumLayers; layer++)
        {
            string path = $"model.layers.{layer}";
            weights[$"{path}.input_layernorm.weight"] = ones(HiddenSize, ScalarType.BFloat16);
            weights[$"{path}.post_attention_layernorm.weight"] = ones(HiddenSize, ScalarType.BFloat16);
            int keys = HiddenSize / NumHeads * NumKvHeads;
            foreach (var (name, inputs, outputs) in ((string, int, int)[])
                [("self_attn.q_proj", HiddenSize, HiddenSize), ("self_attn.k_proj", HiddenSize, keys),
                    ("self_attn.v_proj", HiddenSize, keys), ("self_attn.o_proj", HiddenSize, HiddenSize),
                    ("mlp.gate_proj", HiddenSize, IntermediateSize), ("mlp.up_proj", HiddenSize, IntermediateSize),
                    ("mlp.down_proj", IntermediateSize, HiddenSize)])
            {
                if (!isPacked)
                {
                    weights[$"{path}.{name}.weight"] = Random(outputs, inputs);
                    continue;
                }
                weights[$"{path}.{name}.qweight"] = randint(int.MinValue, int.MaxValue, [inputs / 8, outputs], ScalarType.Int32,
                    generator: random);
                weights[$"{path}.{name}.qzeros"] = full([inputs / GroupSize, outputs / 8], 0x77777777, ScalarType.Int32);
                weights[$"{path}.{name}.scales"] = full([inputs / GroupSize, outputs], 0.004f, ScalarType.Float16);
            }
        }
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), weights);
        string quantization = isPacked ? """, "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32}""" : "";
        File.WriteAllText(Path.Combine(folder, "config.json"), $$"""
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": {{VocabSize}}, "max_position_embeddings": 2048,
             "hidden_size": {{HiddenSize}}, "intermediate_size": {{IntermediateSize}}, "num_hidden_layers": {{NumLayers}},
             "num_attention_heads": {{NumHeads}}, "num_key_value_heads": {{NumKvHeads}}, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
             "tie_word_embeddings": false, "dtype": "bfloat16"{{quantization}}}
            """);

        Tensor Random(params long[] shape) => (randn(shape, generator: random) * 0.02).to(ScalarType.BFloat16);
    }
}
