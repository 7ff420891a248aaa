using Ndif.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Benchmarks.Subjects;

/// <summary>A Llama of the shape of HuggingFaceTB/SmolLM-135M with random weights: 135 million parameters, 538 MB.</summary>
internal static class LlamaShape
{
    public const int Vocabulary = 49152;

    private const int Layers = 30, Width = 576, Heads = 9, Groups = 3, Inner = 1536;

    public static string Folder() => WrittenOnce.Folder("llama-135m-1", Write);

    private static void Write(string folder)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using var random = new Generator(0);
        Dictionary<string, Tensor> weights = new()
        {
            ["model.embed_tokens.weight"] = Random(Vocabulary, Width),
            ["model.norm.weight"] = ones(Width),
        };
        for (int layer = 0; layer < Layers; layer++)
        {
            string path = $"model.layers.{layer}";
            weights[$"{path}.input_layernorm.weight"] = ones(Width);
            weights[$"{path}.post_attention_layernorm.weight"] = ones(Width);
            int keys = Width / Heads * Groups;
            foreach (var (name, inputs, outputs) in ((string, int, int)[])
                [("self_attn.q_proj", Width, Width), ("self_attn.k_proj", Width, keys), ("self_attn.v_proj", Width, keys), ("self_attn.o_proj", Width, Width),
                    ("mlp.gate_proj", Width, Inner), ("mlp.up_proj", Width, Inner), ("mlp.down_proj", Inner, Width)])
                weights[$"{path}.{name}.weight"] = Random(outputs, inputs);
        }
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), weights);
        File.WriteAllText(Path.Combine(folder, "config.json"), $$"""
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": {{Vocabulary}}, "max_position_embeddings": 2048,
             "hidden_size": {{Width}}, "intermediate_size": {{Inner}}, "num_hidden_layers": {{Layers}}, "num_attention_heads": {{Heads}},
             "num_key_value_heads": {{Groups}}, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true, "dtype": "float32"}
            """);

        Tensor Random(params long[] shape) => randn(shape, generator: random) * 0.02;
    }
}
