using Ndif.Models.Files;
using Ndif.Models.Loading;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>A GPT-2 of some size with random weights: a Hugging Face folder in the user's cache, written once.</summary>
internal sealed record GPT2Checkpoint(string Name, int NumLayers, int HiddenSize, int NumHeads, int VocabSize, int MaxPositions)
{
    /// <summary>The shape of openai-community/gpt2: 124 million parameters, 498 MB.</summary>
    public static GPT2Checkpoint Small { get; } = new("gpt2-small", 12, 768, 12, 50257, 1024);

    /// <summary>The same number of layers with almost no arithmetic, so that the overhead of each operation is visible.</summary>
    public static GPT2Checkpoint Tiny { get; } = new("gpt2-tiny", 12, 16, 2, 64, 1024);

    /// <summary>The same with heads as wide as the fused attention needs them, so that its forward is short.</summary>
    public static GPT2Checkpoint TinyFused { get; } = new("gpt2-tiny-fused", 12, 32, 2, 64, 1024);

    public string WeightsFile => Path.Combine(Folder(), "model.safetensors");

    /// <summary>The folder, which is written if it does not exist.</summary>
    public string Folder() => CheckpointCache.GetOrWrite($"{Name}-1", Write);

    public LoadedModel Load() => ModelLoader.Load(Folder());

    /// <summary>Token ids of a prompt, the same in every run.</summary>
    public long[] Prompt(int tokens)
    {
        var ids = new long[tokens];
        for (int i = 0; i < tokens; i++) ids[i] = (i * 7919L + 13) % VocabSize;
        return ids;
    }

    private void Write(string folder)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using var random = new Generator(0);
        Dictionary<string, Tensor> weights = new()
        {
            ["transformer.wte.weight"] = Random(VocabSize, HiddenSize),
            ["transformer.wpe.weight"] = Random(MaxPositions, HiddenSize),
            ["transformer.ln_f.weight"] = ones(HiddenSize),
            ["transformer.ln_f.bias"] = zeros(HiddenSize),
        };
        for (int layer = 0; layer < NumLayers; layer++)
        {
            foreach (string norm in (string[])["ln_1", "ln_2"])
            {
                Add("weight", ones(HiddenSize));
                Add("bias", zeros(HiddenSize));
                void Add(string part, Tensor value) => weights[$"transformer.h.{layer}.{norm}.{part}"] = value;
            }
            foreach (var (path, inputs, outputs) in ((string, int, int)[])
                [("attn.c_attn", HiddenSize, 3 * HiddenSize), ("attn.c_proj", HiddenSize, HiddenSize),
                    ("mlp.c_fc", HiddenSize, 4 * HiddenSize), ("mlp.c_proj", 4 * HiddenSize, HiddenSize)])
            {
                weights[$"transformer.h.{layer}.{path}.weight"] = Random(inputs, outputs);
                weights[$"transformer.h.{layer}.{path}.bias"] = zeros(outputs);
            }
        }
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), weights);
        File.WriteAllText(Path.Combine(folder, "config.json"), $$"""
            {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": {{VocabSize}}, "n_positions": {{MaxPositions}},
             "n_embd": {{HiddenSize}}, "n_layer": {{NumLayers}}, "n_head": {{NumHeads}}, "activation_function": "gelu_new",
             "layer_norm_epsilon": 1e-5, "tie_word_embeddings": true, "dtype": "float32"}
            """);

        Tensor Random(params long[] shape) => randn(shape, generator: random) * 0.02;
    }
}
