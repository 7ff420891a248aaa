using Ndif.Models.Files;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>A Llama of the shape of HuggingFaceTB/SmolLM-135M with random weights: 135 million parameters, 538 MB.</summary>
internal static class LlamaCheckpoint
{
    public const int VocabSize = 49152, NumLayers = 30, HiddenSize = 576, NumHeads = 9, NumKvHeads = 3, MaxPositions = 2048;

    private const int IntermediateSize = 1536;

    public static string Folder() => CheckpointCache.GetOrWrite("llama-135m-1", Write);

    private static void Write(string folder)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using var random = new Generator(0);
        Dictionary<string, Tensor> weights = new()
        {
            ["model.embed_tokens.weight"] = Random(VocabSize, HiddenSize),
            ["model.norm.weight"] = ones(HiddenSize),
        };
        for (int layer = 0; layer < NumLayers; layer++)
        {
            string path = $"model.layers.{layer}";
            weights[$"{path}.input_layernorm.weight"] = ones(HiddenSize);
            weights[$"{path}.post_attention_layernorm.weight"] = ones(HiddenSize);
            int keys = HiddenSize / NumHeads * NumKvHeads;
            foreach (var (name, inputs, outputs) in ((string, int, int)[])
                [("self_attn.q_proj", HiddenSize, HiddenSize), ("self_attn.k_proj", HiddenSize, keys),
                    ("self_attn.v_proj", HiddenSize, keys), ("self_attn.o_proj", HiddenSize, HiddenSize),
                    ("mlp.gate_proj", HiddenSize, IntermediateSize), ("mlp.up_proj", HiddenSize, IntermediateSize),
                    ("mlp.down_proj", IntermediateSize, HiddenSize)])
                weights[$"{path}.{name}.weight"] = Random(outputs, inputs);
        }
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), weights);
        File.WriteAllText(Path.Combine(folder, "config.json"), $$"""
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": {{VocabSize}}, "max_position_embeddings": {{MaxPositions}},
             "hidden_size": {{HiddenSize}}, "intermediate_size": {{IntermediateSize}}, "num_hidden_layers": {{NumLayers}}, "num_attention_heads": {{NumHeads}},
             "num_key_value_heads": {{NumKvHeads}}, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true, "dtype": "float32"}
            """);

        Tensor Random(params long[] shape) => randn(shape, generator: random) * 0.02;
    }
}
