#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
using Ndif;
using Ndif.Models.Files;
using TorchSharp;

// A small Mixtral with random weights stands here for a model with experts: new LanguageModel("mistralai/Mixtral-8x7B-v0.1").
string folder = Directory.CreateTempSubdirectory("mixtral-").FullName;
Write(folder, layers: 2, experts: 4, hidden: 16, intermediate: 8, vocab: 50);
var llm = new LanguageModel(folder);
Envoy experts = llm.Layers[1].Mlp.Experts;
int[] prompt = [3, 1, 4, 1, 5, 9, 2, 6];

// the experts of each token and their weights, of all layers
using (var t = llm.Trace(prompt))
{
    ActivationCache cache = t.Cache(output: false, routing: true);
    await t.RunAsync();
    Console.WriteLine($"indices {cache.Routing[1].Indices.Shape}, weights {cache.Routing[1].Weights.Shape}");
}

// an expert has the tokens that are routed to it: which they are, what it reads and what it gives
using (var t = llm.Trace(prompt))
{
    Saved tokens = experts[3].Tokens.Save(), input = experts[3].Input.Save(), output = experts[3].Output.Save();
    await t.RunAsync();
    Console.WriteLine($"{tokens.Tensor.Shape.Length} dimension, {input.Tensor.Shape.SequenceEqual(output.Tensor.Shape)}");
}

// what the model does without an expert, and with its output doubled
using (var t = llm.Trace())
{
    Saved plain, without, doubled;
    using (t.Invoke(prompt)) plain = llm.Logits.Save();
    using (t.Invoke(prompt))
    {
        experts[3].Skip(experts[3].Input * 0);
        without = llm.Logits.Save();
    }
    using (t.Invoke(prompt))
    {
        experts[3].Output *= 2;
        doubled = llm.Logits.Save();
    }
    await t.RunAsync();
    Console.WriteLine($"{plain.Tensor.MaxAbsDifference(without.Tensor) > 0}, {plain.Tensor.MaxAbsDifference(doubled.Tensor) > 0}");
}
Directory.Delete(folder, recursive: true);
// prints: indices [8, 2], weights [8, 2]
// prints: 1 dimension, True
// prints: True, True

static void Write(string folder, int layers, int experts, int hidden, int intermediate, int vocab)
{
    File.WriteAllText(Path.Combine(folder, "config.json"), $$"""
        {
          "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": {{hidden}}, "num_hidden_layers": {{layers}},
          "intermediate_size": {{intermediate}}, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": {{vocab}},
          "num_local_experts": {{experts}}, "num_experts_per_tok": 2, "max_position_embeddings": 64
        }
        """);
    torch.random.manual_seed(1);
    Dictionary<string, torch.Tensor> weights = new()
    {
        ["model.embed_tokens.weight"] = torch.randn(vocab, hidden), ["lm_head.weight"] = torch.randn(vocab, hidden),
        ["model.norm.weight"] = torch.ones(hidden),
    };
    for (int layer = 0; layer < layers; layer++)
    {
        string path = $"model.layers.{layer}";
        weights[$"{path}.input_layernorm.weight"] = weights[$"{path}.post_attention_layernorm.weight"] = torch.ones(hidden);
        foreach (var (name, size) in new[] { ("q_proj", hidden), ("k_proj", hidden / 2), ("v_proj", hidden / 2), ("o_proj", hidden) })
            weights[$"{path}.self_attn.{name}.weight"] = torch.randn(size, hidden) * 0.2;
        weights[$"{path}.block_sparse_moe.gate.weight"] = torch.randn(experts, hidden);
        for (int expert = 0; expert < experts; expert++)
        {
            weights[$"{path}.block_sparse_moe.experts.{expert}.w1.weight"] = torch.randn(intermediate, hidden) * 0.5;
            weights[$"{path}.block_sparse_moe.experts.{expert}.w3.weight"] = torch.randn(intermediate, hidden) * 0.5;
            weights[$"{path}.block_sparse_moe.experts.{expert}.w2.weight"] = torch.randn(hidden, intermediate) * 0.5;
        }
    }
    SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), weights);
}
