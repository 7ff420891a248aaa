using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Gemma.</summary>
/// <remarks>transformers/models/gemma/configuration_gemma.py</remarks>
public sealed record GemmaConfig : DecoderConfig
{
    public GemmaConfig(ConfigReader json) : base(json, new()
    {
        VocabSize = 256000, MaxPositions = 8192, HiddenSize = 3072, IntermediateSize = 24576, NumLayers = 28, NumHeads = 16,
        NumKvHeads = 16, HeadDim = 256, TieWordEmbeddings = true, PadTokenId = 0,
    }) => json.RequireFalse("use_bidirectional_attention", "tokens see only those before them");

    public bool AttentionBias => Json.Flag("attention_bias", false);
}

/// <summary>Gemma: a Llama with wide heads, scaled embeddings, RMSNorm with (1 + weight), and GeGLU.</summary>
/// <remarks>transformers/models/gemma/modeling_gemma.py; Gemma Team, Gemma, 2024</remarks>
[Architecture("GemmaForCausalLM", ModelType = "gemma")]
public sealed class GemmaForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new GemmaConfig(json)))
{
    private static DecoderDescription Describe(GemmaConfig config) => new(config, "Gemma")
    {
        EmbeddingClass = "GemmaTextScaledWordEmbedding", ScalesEmbeddings = true, Norm = NormKind.RmsUnitOffset,
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, Activation = ("hidden_act", "gelu_pytorch_tanh"),
    };
}
