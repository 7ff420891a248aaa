using Ndif.Models;
using Ndif.Models.Architectures;
using Ndif.Models.Config;
using Ndif.Models.Files;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Tests.Support.Models;

/// <summary>Checkpoints of a few thousand random weights, in the format of Hugging Face.</summary>
public static class TinyModel
{
    public const int VocabSize = 40;

    public static string GPT2(int heads = 2, int layers = 2, int hiddenSize = 16, string more = "") => $$"""
        { "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": {{VocabSize}}, "n_positions": 48,
          "n_embd": {{hiddenSize}}, "n_layer": {{layers}}, "n_head": {{heads}}, "eos_token_id": 0, "bos_token_id": 0 {{more}} }
        """;

    public static string Llama(int heads = 4, int kvHeads = 2, int layers = 2, int hiddenSize = 16, string more = "") => $$"""
        { "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": {{VocabSize}}, "max_position_embeddings": 64,
          "hidden_size": {{hiddenSize}}, "intermediate_size": 24, "num_hidden_layers": {{layers}}, "num_attention_heads": {{heads}},
          "num_key_value_heads": {{kvHeads}}, "eos_token_id": [1, 2] {{more}} }
        """;

    /// <summary>A model whose sizes the fused CPU kernels support.</summary>
    /// <param name="architecture">"gpt2", or one with Llama's names for sizes.</param>
    public static string Fused(string architecture, int layers = 2) => architecture == "gpt2" ? GPT2(heads: 2, layers, hiddenSize: 32)
        : LikeLlama(architecture, 2, layers).Replace("\"head_dim\": 4", "\"head_dim\": 16", StringComparison.Ordinal)
            .Replace("\"intermediate_size\": 24", "\"intermediate_size\": 32", StringComparison.Ordinal);

    /// <summary>Another architecture with Llama's names for sizes. An architecture ignores the keys that it does not have.</summary>
    public static string LikeLlama(string architecture, int kvHeads, int layers) => Llama(4, kvHeads, layers, more: """
        , "head_dim": 4, "sliding_window": 5, "pad_token_id": 0, "partial_rotary_factor": 0.5, "num_local_experts": 4, "num_experts": 4,
          "num_experts_per_tok": 2, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8
        """).Replace("LlamaForCausalLM", architecture, StringComparison.Ordinal).Replace("\"llama\"", "null", StringComparison.Ordinal);

    /// <summary>Writes config.json and random weights.</summary>
    /// <param name="change">Changes the tensors by name before they are written.</param>
    public static void Write(TempFolder folder, string config, long seed = 1, Action<Dictionary<string, Tensor>>? change = null)
    {
        folder.Write("config.json", config);
        using var scope = NewDisposeScope();
        Dictionary<string, Tensor> weights = Weights(folder, seed);
        change?.Invoke(weights);
        SafetensorsWriter.Write(folder.File("model.safetensors"), weights);
    }

    /// <summary>A random tensor for each parameter of the config in the folder, by its path.</summary>
    public static Dictionary<string, Tensor> Weights(TempFolder folder, long seed = 1)
    {
        using Generator generator = new((ulong)seed);
        PreTrainedModel tree = ArchitectureCatalog.Build(ConfigReader.Open(folder.File("config.json")));
        Dictionary<string, Tensor> weights = [];
        HashSet<Parameter> seen = [];
        foreach (SiteModule module in tree.Modules)
            foreach (Parameter parameter in module.Parameters.Where(seen.Add))
                weights[module.PathOf(parameter)] = randn(parameter.Shape, generator: generator) * 0.3;
        return weights;
    }

    internal static LoadedModel Load(string path, ScalarType? dtype = null) =>
        ModelLoader.Load(path, dtype);

    /// <summary>[batch, seq] int64</summary>
    public static Tensor Ids(int batch, int seq, long seed)
    {
        using Generator generator = new((ulong)seed);
        return randint(0, VocabSize, [batch, seq], ScalarType.Int64, generator: generator);
    }

    /// <summary>
    /// The logits of a pass, [batch, seq, vocab]; of another task what it gives: hidden states, or the logits of labels. The ids of an
    /// encoder-decoder are the decoder's, and its encoder reads <see cref="EncoderText"/>.
    /// </summary>
    internal static Tensor Logits(LoadedModel model, Tensor ids, Tensor? mask = null, KeyValueCache? cache = null)
    {
        mask ??= ones_like(ids);
        if (model.Root is Seq2SeqLM)
        {
            var known = cache?.EncoderOutput();
            (Tensor text, Tensor textMask) = known is null ? EncoderText(ids, mask) : (ids, known.Value.AttentionMask);
            return (Tensor)model.Root.Call(new(text, textMask, text, cache)
            {
                DecoderInputIds = ids, DecoderAttentionMask = mask, EncoderOutput = known?.HiddenStates,
            })["logits"]!;
        }
        Tensor positions = (mask.cumsum(1) - 1).clamp_min(0).narrow(1, mask.size(1) - ids.size(1), ids.size(1)); // [batch, seq]
        return (Tensor)model.Root.Call(new(ids, mask, positions, cache)).Entries[0].Value!;
    }

    /// <summary>
    /// A text for the encoder that depends on the first token of each row alone, with its mask, both [batch, encoderSeq].
    /// </summary>
    internal static (Tensor Ids, Tensor Mask) EncoderText(Tensor ids, Tensor mask)
    {
        if (ids.device_type == TorchSharp.DeviceType.META) return (ids, ones_like(ids));
        long[][] texts = [.. Enumerable.Range(0, (int)ids.size(0)).Select(row =>
        {
            long first = ids[row, mask[row].argmax().item<long>()].item<long>();
            return Enumerable.Range(1, 1 + (int)(first % 6)).Select(i => (7 * first + 11 * i) % VocabSize).ToArray();
        })];
        Tensor text = zeros([texts.Length, texts.Max(t => t.Length)], ScalarType.Int64), textMask = zeros_like(text); // [batch, encoderSeq]
        for (int row = 0; row < texts.Length; row++)
        {
            text[row, ..texts[row].Length] = tensor(texts[row]);
            textMask[row, ..texts[row].Length] = 1;
        }
        return (text, textMask);
    }

    public static double Difference(Tensor a, Tensor b) => (a - b).abs().max().item<float>();
}
