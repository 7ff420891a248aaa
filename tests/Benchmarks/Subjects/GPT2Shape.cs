using Ndif.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Benchmarks.Subjects;

/// <summary>A GPT-2 of some size with random weights: a Hugging Face folder in the user's cache, written once.</summary>
internal sealed record GPT2Shape(string Name, int Layers, int Width, int Heads, int Vocabulary, int Positions)
{
    /// <summary>The shape of openai-community/gpt2: 124 million parameters, 498 MB.</summary>
    public static GPT2Shape Small { get; } = new("gpt2-small", 12, 768, 12, 50257, 1024);

    /// <summary>As many layers and almost no arithmetic: what is left is what each operation costs by itself.</summary>
    public static GPT2Shape Tiny { get; } = new("gpt2-tiny", 12, 16, 2, 64, 1024);

    public string WeightsFile => Path.Combine(Folder(), "model.safetensors");

    /// <summary>The folder, written if it is not there yet.</summary>
    public string Folder() => WrittenOnce.Folder($"{Name}-1", Write);

    public LoadedModel Load() => ModelLoader.Load(Folder());

    /// <summary>Token ids of a prompt, the same in every run.</summary>
    public long[] Prompt(int tokens)
    {
        var ids = new long[tokens];
        for (int i = 0; i < tokens; i++) ids[i] = (i * 7919L + 13) % Vocabulary;
        return ids;
    }

    private void Write(string folder)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using var random = new Generator(0);
        Dictionary<string, Tensor> weights = new()
        {
            ["transformer.wte.weight"] = Random(Vocabulary, Width),
            ["transformer.wpe.weight"] = Random(Positions, Width),
            ["transformer.ln_f.weight"] = ones(Width),
            ["transformer.ln_f.bias"] = zeros(Width),
        };
        for (int layer = 0; layer < Layers; layer++)
        {
            foreach (string norm in (string[])["ln_1", "ln_2"])
            {
                Add("weight", ones(Width));
                Add("bias", zeros(Width));
                void Add(string part, Tensor value) => weights[$"transformer.h.{layer}.{norm}.{part}"] = value;
            }
            foreach (var (path, inputs, outputs) in ((string, int, int)[])
                [("attn.c_attn", Width, 3 * Width), ("attn.c_proj", Width, Width), ("mlp.c_fc", Width, 4 * Width), ("mlp.c_proj", 4 * Width, Width)])
            {
                weights[$"transformer.h.{layer}.{path}.weight"] = Random(inputs, outputs);
                weights[$"transformer.h.{layer}.{path}.bias"] = zeros(outputs);
            }
        }
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), weights);
        File.WriteAllText(Path.Combine(folder, "config.json"), $$"""
            {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": {{Vocabulary}}, "n_positions": {{Positions}},
             "n_embd": {{Width}}, "n_layer": {{Layers}}, "n_head": {{Heads}}, "activation_function": "gelu_new",
             "layer_norm_epsilon": 1e-5, "tie_word_embeddings": true, "dtype": "float32"}
            """);

        Tensor Random(params long[] shape) => randn(shape, generator: random) * 0.02;
    }
}
